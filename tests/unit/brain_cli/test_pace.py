import pytest

from brain_cli.pace import StepPace


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_what_is_left_follows_from_what_was_done(clock):
    pace = StepPace(clock)
    pace.begin("raw_images")
    clock.now += 10
    assert pace.left_s("images read: 200 of 1000") == pytest.approx(40)


def test_between_two_messages_the_time_runs_down_and_never_below_zero(clock):
    pace = StepPace(clock)
    clock.now += 10
    pace.left_s("epochs: 1 of 2")
    clock.now += 4
    assert pace.left_s("epochs: 1 of 2") == pytest.approx(6)
    clock.now += 100
    assert pace.left_s("epochs: 1 of 2") == 0


@pytest.mark.parametrize("message", ["", "loading the images", "images read: 0 of 1000"])
def test_without_a_count_nothing_is_promised(clock, message):
    clock.now += 10
    assert StepPace(clock).left_s(message) is None


def test_another_step_starts_afresh(clock):
    pace = StepPace(clock)
    clock.now += 1000
    pace.left_s("images read: 999 of 1000")
    pace.begin("image_statistics")
    clock.now += 1
    assert pace.left_s("images described: 100 of 1000") == pytest.approx(9)
