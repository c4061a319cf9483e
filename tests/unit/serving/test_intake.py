import contextlib

import pytest

from brain_core.errors import Overloaded
from serving.intake import Intake


def test_places_are_given_up_at_the_end_also_after_a_failure():
    seen = []
    intake = Intake(2, 1000, seen.append)
    with contextlib.suppress(ZeroDivisionError), intake.place() as place:
        place.hold(600)
        place.enter()
        assert (intake.uploads, intake.held_bytes) == (1, 600)
        raise ZeroDivisionError
    assert (intake.uploads, intake.held_bytes, seen) == (0, 0, [1, 0])


def test_a_full_queue_refuses_before_the_body_is_read():
    intake = Intake(1, 1000)
    with intake.place() as first:
        first.enter()
        with pytest.raises(Overloaded) as caught, intake.place():
            pytest.fail("there was no room")
    assert caught.value.retry_after_s > 0


def test_a_queue_that_filled_up_meanwhile_refuses_what_was_read():
    intake = Intake(1, 1000)
    with intake.place() as first, intake.place() as second:
        first.enter()
        with pytest.raises(Overloaded):
            second.enter()
    assert intake.uploads == 0


def test_all_uploads_together_hold_no_more_bytes_than_there_is_room():
    intake = Intake(9, 1000)
    with intake.place() as first, intake.place() as second:
        first.hold(700)
        second.hold(300)
        with pytest.raises(Overloaded):
            second.hold(1)
    assert intake.held_bytes == 0
