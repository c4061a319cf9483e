from tests.fixtures_dashboard import alerts, created, press, problem, said, upload


def test_answer_shows_class_probabilities_pictures_model_and_time(page):
    upload(page)

    text = said(page)
    assert not page.exception
    captions = [caption for image in page.image for caption in image.captions]
    assert captions == ["Your image, as it is stored", "Where the model saw evidence for “Pituitary tumour”"]
    assert "Pituitary tumour" in [str(heading.value) for heading in page.subheader]
    assert next(bar.text for bar in page.get("progress")) == "Pituitary tumour · **91.0%**"
    assert "Model version 7 · took 42 ms" in text
    assert "Uncertain" not in text


def test_uncertain_answer_says_so_plainly(page, scripted_api):
    answer = created(is_uncertain=True, confidence=0.4)
    scripted_api.answers["POST predictions"] = (201, answer.model_dump_json().encode())

    upload(page)

    assert any("Uncertain. A confidence of 40%" in text for text in alerts(page))


def test_image_that_can_never_be_taken_offers_no_try_again(page, scripted_api):
    scripted_api.answers["POST predictions"] = problem("unsupported-image-type", 415)

    upload(page)

    assert not any(button.label.startswith("Try again") for button in page.button)


def test_answer_stands_without_its_map_which_can_be_fetched_later(page, scripted_api):
    good = scripted_api.answers.pop("GET explanation.png")
    upload(page)
    assert any("the answer stands without it" in text for text in alerts(page))
    scripted_api.answers["GET explanation.png"] = good

    press(page, "Fetch the map")

    assert not any("the answer stands without it" in text for text in alerts(page))


def test_map_is_as_strong_as_the_reader_wants_it(page):
    upload(page)
    shown = [image.proto.imgs[0].url for image in page.image]

    page.slider[0].set_value(0).run()

    assert [image.proto.imgs[0].url for image in page.image] != shown
    assert not page.exception


def test_result_can_be_taken_home_in_four_ways(page):
    upload(page)

    labels = [button.label for button in page.get("download_button")]
    assert labels == ["JSON", "CSV", "Map (PNG)", "Report (PDF)"]
