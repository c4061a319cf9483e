import pytest

from dashboard.outcomes import Answer, Failure, Refusal, content_hash
from dashboard.uploads import MAX_IMAGES, Upload, Uploads
from tests.fixtures_dashboard import PREDICTION_ID, created

SLICE = content_hash(b"slice")


@pytest.fixture
def uploads() -> Uploads:
    held = Uploads()
    held.add([Upload("a.jpg", b"slice"), Upload("b.jpg", b"other")])
    return held


def test_same_content_under_two_names_is_one_image(uploads):
    assert uploads.add([Upload("copy.jpg", b"slice")]) == 0
    assert [upload.name for upload in uploads.items.values()] == ["a.jpg", "b.jpg"]


def test_images_beyond_the_limit_are_counted_and_left_out():
    held = Uploads()
    files = [Upload(f"{number}.jpg", b"%d" % number) for number in range(MAX_IMAGES + 3)]

    assert held.add(files) == 3
    assert len(held.items) == MAX_IMAGES


def test_every_image_has_a_key_of_its_own(uploads):
    assert len({upload.key for upload in uploads.items.values()}) == 2


@pytest.mark.parametrize("outcome", [Answer(created()), Refusal("In colour.", PREDICTION_ID, "t")])
def test_bytes_of_a_stored_image_are_let_go(uploads, outcome):
    uploads.settle(SLICE, outcome)

    assert uploads.items[SLICE].data == b""
    assert uploads.waiting() == [content_hash(b"other")]
    assert uploads.settled() == [SLICE]


def test_bytes_of_a_failed_image_stay_for_another_try(uploads):
    uploads.settle(SLICE, Failure("Away.", is_passing=True))
    uploads.retry(SLICE)

    assert uploads.items[SLICE].data == b"slice"
    assert SLICE in uploads.waiting()


def test_forgotten_image_may_come_again(uploads):
    uploads.settle(SLICE, Answer(created()))
    uploads.fetched.add(SLICE)
    uploads.forget(SLICE)

    assert SLICE not in uploads.items
    assert SLICE not in uploads.fetched
    uploads.add([Upload("a.jpg", b"slice")])
    assert SLICE in uploads.waiting()


def test_count_tells_how_it_went(uploads):
    uploads.settle(SLICE, Answer(created()))

    assert uploads.count() == {"Answered": 1, "Not a brain MRI": 0, "Not readable": 0, "Waiting": 1}
    uploads.clear()
    assert not uploads.items
    assert not uploads.outcomes
