import time
from types import SimpleNamespace

import numpy as np

from brain_assets.ml.latency import ROUNDS, RUNS, single_image_latencies_ms


class SlowSession:
    """Takes its time; remembers what it was asked."""

    def __init__(self, ms: float) -> None:
        self.ms = ms
        self.asked: list[tuple[int, ...]] = []

    def run(self, images: np.ndarray) -> None:
        self.asked.append(images.shape)
        time.sleep(self.ms / 1000)


def bundle(ms: float, size: int):
    return SimpleNamespace(session=SlowSession(ms), manifest=SimpleNamespace(input_size=size))


def test_each_model_is_timed_on_one_image_of_its_own_size():
    quick, slow = bundle(1, 32), bundle(4, 64)
    times_ms = single_image_latencies_ms([quick, slow])
    assert 1 <= times_ms[0] < times_ms[1]
    assert times_ms[1] >= 4
    assert quick.session.asked == [(1, 32, 32, 1)] * ROUNDS * (RUNS + 1)
    assert slow.session.asked[0] == (1, 64, 64, 1)


def test_the_round_that_other_work_disturbed_least_counts():
    disturbed = bundle(1, 8)
    original = disturbed.session.run

    def run(images: np.ndarray) -> None:
        if len(disturbed.session.asked) < (ROUNDS - 1) * (RUNS + 1):
            time.sleep(0.01)
        original(images)

    disturbed.session.run = run
    assert single_image_latencies_ms([disturbed])[0] < 10
