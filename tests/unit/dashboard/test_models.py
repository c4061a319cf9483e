import pytest

from tests.fixtures_admin import (
    answer,
    answers_of_an_admin,
    decision,
    figures,
    model_version,
    models,
    order,
    press,
    rule,
    with_key,
)
from tests.fixtures_dashboard import NOW, alerts, problem, said


@pytest.fixture
def open_models(open_page, scripted_api, api_address):
    """Opens the page of an admin on this list of models."""
    answers_of_an_admin(scripted_api)

    def run(*versions, **values):
        if versions or values:
            scripted_api.answers["GET models"] = answer(models(*versions, **values))
        return with_key(open_page, "models", api_address)

    return run


def labels(app):
    return [button.label for button in app.button]


def test_reader_without_a_key_sees_the_model_that_answers_now_with_its_figures(open_page, scripted_api, api_address):
    card = {"classes": [], "trained_on": "public", "data_version": "9f2c", "created_at": NOW, "metrics": figures(0.9)}
    scripted_api.answers["GET model"] = answer(model_card(**card))

    app = open_page("models", BRAIN_DASHBOARD__API_URL=api_address)

    assert not app.exception
    assert {metric.label: metric.value for metric in app.metric} == {
        "Balanced accuracy": "90.0%",
        "Macro-F1": "0.900",
        "Calibration error": "3.0%",
    }
    text = said(app)
    assert "95 % interval: 87.0% to 93.0%" in text
    assert "Trained on the public data set, data version 9f2c" in text
    assert "Judged on 638 slices in 130 unrelated groups (a patient each, where known)" in text


def model_card(**values):
    from brain_core.contracts import ModelCard

    return ModelCard(version="7", **values)


def test_platform_without_a_model_says_so_and_still_takes_a_key(open_page, scripted_api, api_address):
    scripted_api.answers["GET model"] = problem("model-unavailable", 503)

    app = open_page("models", BRAIN_DASHBOARD__API_URL=api_address)

    assert any("There is no model yet" in text for text in alerts(app))
    assert "This part needs an admin key" in said(app)


def test_versions_stand_side_by_side_with_the_champion_first_and_the_best_marked(open_models):
    app = open_models(
        model_version("8", metrics=figures(0.95, ece=0.04)),
        model_version("7", is_champion=True, metrics=figures(0.9, ece=0.02)),
    )

    table = app.table[0].value
    assert list(table.columns) == ["Version 7 · champion", "Version 8"]
    assert table.loc["Balanced accuracy"].tolist() == [
        "90.0%  \n87.0% to 93.0%",
        "★ **95.0%**  \n92.0% to 98.0%",
    ]
    assert table.loc["Calibration error"].tolist()[0].startswith("★ **2.0%**")
    assert "★ and bold: the best of the row." in said(app)


def test_versions_to_compare_can_be_chosen(open_models):
    app = open_models(*(model_version(str(number), is_champion=number == 7) for number in (9, 8, 7, 6)))
    assert [name.split()[1] for name in app.table[0].value.columns] == ["7", "9", "8"]

    app.pills(key="models-compared").set_value(["6"]).run()
    assert list(app.table[0].value.columns) == ["Version 6"]

    app.pills(key="models-compared").set_value([]).run()
    assert not app.exception
    assert "Choose at least one version." in said(app)


def test_champion_is_named_with_when_and_by_whom(open_models):
    app = open_models(model_version("7", is_champion=True), promoted_by="dagster *run*")

    text = said(app)
    assert "Champion" in text
    assert r"since 2026-11-20 00:00 UTC by dagster \*run\*" in text


def test_card_tells_the_facts_of_a_version(open_models):
    app = open_models(model_version("7", is_trained_on_feedback=True))

    assert r"Network twin\_map · trained on the public data set and readers' corrections · data version 9f2c" in said(
        app
    )


def test_decision_is_told_with_the_rules_that_failed_and_all_of_them(open_models):
    made = decision(False, rule("network", True), rule("recall of glioma", False, "-0.0400 (p = 0.0100)", "p < 0.05"))
    app = open_models(model_version("8", decision=made))

    text = said(app)
    assert "Version 8 was not promoted: 1 of 2 rules does not hold, so version 6 stayed the champion" in text.replace(
        "\\", ""
    )
    assert "Not promoted" in text
    lines = [line for line in text.replace("\\", "").splitlines() if line.startswith("- :material")]
    failed = "- :material/close: **Finds Glioma as well** does not hold: -0.0400 (p = 0.0100) (asked for: p < 0.05)"
    assert lines.count(failed) == 2
    assert sum("**The network may be promoted** holds" in line for line in lines) == 1
    assert app.table[1].value.loc["Macro-F1", "Champion then"] == "0.900"


def test_version_without_a_decision_says_so(open_models):
    assert "No comparison with a champion is recorded" in said(open_models(model_version("7", is_champion=True)))


def test_damaged_model_is_told_in_a_sentence_and_cannot_be_promoted(open_models):
    fault = "manifest.json of the bundle '9' is not valid: 10 validation errors for Manifest\nversion\n  Field required"
    nothing = dict.fromkeys(("created_at", "architecture", "trained_on", "data_version", "metrics"))
    app = open_models(model_version("9", fault=fault, **nothing), model_version("7", is_champion=True))

    assert not app.exception
    (told,) = [text for text in alerts(app) if "cannot be read" in text]
    assert "validation errors" not in told
    assert "Make it the champion" not in labels(app)


def test_promotion_asks_first_and_says_what_will_happen(open_models, scripted_api):
    app = open_models(
        model_version("8", decision=decision(False, rule("network", False))), model_version("7", is_champion=True)
    )

    press(app, "Make it the champion")

    assert scripted_api.count("POST promote") == 0
    text = said(app)
    assert "**version 8 answers every new upload**, in place of version 7" in text
    assert "No model is deleted" in text
    assert any("did not favour this version" in alert for alert in alerts(app))
    press(app, "Yes, do it")
    assert [target for target in scripted_api.targets if target.endswith("promote")] == ["/v1/models/8/promote"]
    assert app.toast[0].value == "Asked for: version 8 is to be the champion."


def test_promotion_that_is_called_off_changes_nothing(open_models, scripted_api):
    app = open_models()
    press(press(app, "Make it the champion"), "Cancel")

    assert scripted_api.count("POST promote") == 0
    assert "Yes, do it" not in labels(app)


@pytest.mark.parametrize(
    ("slug", "status", "words"),
    [
        ("model-version-unknown", 404, "not there any more"),
        ("database-unavailable", 503, "database is away"),
        ("scope-missing", 403, "may not do this"),
    ],
)
def test_promotion_that_fails_is_told_where_it_was_asked_for(open_models, scripted_api, slug, status, words):
    app = press(open_models(), "Make it the champion")
    scripted_api.answers["POST promote"] = problem(slug, status)

    press(app, "Yes, do it")

    assert not app.exception
    assert any(words in text for text in alerts(app))


def test_roll_back_promotes_the_version_before(open_models, scripted_api):
    app = open_models()

    press(app, "Roll back to version 6")
    press(app, "Yes, do it")

    assert [target for target in scripted_api.targets if target.endswith("promote")] == ["/v1/models/6/promote"]


def test_roll_back_passes_over_versions_that_are_gone_or_damaged(open_models):
    versions = [model_version("7", is_champion=True), model_version("6", fault="x"), model_version("4")]

    assert "Roll back to version 4" in labels(open_models(*versions, former=["6", "5", "4"]))


def test_without_a_version_before_there_is_no_roll_back(open_models):
    app = open_models(model_version("7", is_champion=True), former=[])

    assert not [label for label in labels(app) if label.startswith("Roll back")]


@pytest.mark.parametrize(
    ("state", "message", "badge", "words"),
    [
        ("queued", None, "Waiting", "The pipeline carries it out within a minute"),
        ("queued", "MLflow is away.", "Waiting", r"MLflow is away\."),
        ("done", "Version 6 is the champion now.", "Done", r"Version 6 is the champion now\."),
        ("refused", "It does not load.", "Refused", r"It does not load\."),
    ],
)
def test_what_became_of_a_request_is_told(open_models, state, message, badge, words):
    app = open_models(model_version("7", is_champion=True), requests=[order("6", state, message)])

    text = said(app)
    assert badge in text
    assert words in text
    assert "asked for by jo" in text


def test_list_is_asked_for_once_a_run(open_models, scripted_api):
    app = open_models(model_version("7", is_champion=True), requests=[order("6")])
    before = scripted_api.count("GET models")

    app.run()

    assert scripted_api.count("GET models") == before + 1


def test_many_versions_are_shown_on_demand(open_models):
    app = open_models(*(model_version(str(number)) for number in range(20, 10, -1)), champion=None, promoted_at=None)
    assert labels(app).count("Make it the champion") == 6
    assert any("No version is published" in text for text in alerts(app))

    app.toggle(key="models-all").set_value(True).run()

    assert labels(app).count("Make it the champion") == 10


def test_empty_bucket_says_where_the_first_model_comes_from(open_models):
    app = open_models(champion=None, promoted_at=None, promoted_by=None, former=[])

    assert any("The first one comes with the pipeline" in text for text in alerts(app))


def test_store_that_is_away_is_told_and_the_model_that_answers_stays(open_models, scripted_api, api_address):
    app = open_models()
    scripted_api.answers["GET models"] = problem("storage-unavailable", 503)

    app.run()

    assert any("image store is away" in text for text in alerts(app))
    assert "Answers now" in said(app)
