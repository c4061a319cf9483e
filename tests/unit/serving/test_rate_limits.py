import subprocess
import sys
from uuid import UUID, uuid4

import pytest

from serving.rate_limits import BURST_S, KEYS, RateLimiter

KEY, OTHER = UUID(int=1), UUID(int=2)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def limiter(clock):
    limiter = RateLimiter(clock=clock)
    yield limiter
    limiter.close()


def used(limiter, rate, key=KEY, tries=1000):
    return next(number for number in range(tries) if limiter.wait_s(key, rate) > 0)


@pytest.mark.parametrize("rate", [6, 60, 600])
def test_a_rested_key_may_send_some_at_once_and_then_has_to_wait(limiter, rate):
    assert used(limiter, rate) == rate * BURST_S / 60
    assert limiter.wait_s(KEY, rate) == pytest.approx(60 / rate)


def test_a_slow_key_may_be_used_once(limiter):
    assert used(limiter, 1) == 1
    assert limiter.wait_s(KEY, 1) == pytest.approx(60)


def test_after_the_wait_it_may_be_used_again(limiter, clock):
    used(limiter, 60)
    clock.now += limiter.wait_s(KEY, 60)
    assert limiter.wait_s(KEY, 60) == 0
    assert limiter.wait_s(KEY, 60) > 0


def test_over_a_minute_no_more_than_the_rate_and_the_burst_pass(limiter, clock):
    passed = 0
    for _ in range(6000):
        passed += limiter.wait_s(KEY, 120) == 0
        clock.now += 0.01
    assert passed == pytest.approx(120 + 120 * BURST_S / 60, abs=1)


def test_keys_do_not_share_an_allowance(limiter):
    used(limiter, 60)
    assert used(limiter, 60, OTHER) == BURST_S


def test_a_refused_request_does_not_lengthen_the_wait(limiter):
    used(limiter, 60)
    assert limiter.wait_s(KEY, 60) == limiter.wait_s(KEY, 60)


def test_more_keys_than_places_make_room_by_the_longest_rested(limiter, clock):
    first = uuid4()
    used(limiter, 60, first)
    clock.now += 100
    for number in range(KEYS):
        assert limiter.wait_s(UUID(int=number + 10), 600) == 0
    assert used(limiter, 60, first) == BURST_S


def test_processes_of_one_server_share_the_allowance(tmp_path):
    program = (
        "import sys; from pathlib import Path; from uuid import UUID; from serving.rate_limits import RateLimiter\n"
        "limiter = RateLimiter(Path(sys.argv[1]), clock=lambda: 1000.0)\n"
        "print(sum(limiter.wait_s(UUID(int=1), 60) == 0 for _ in range(7)))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert [int(run.stdout) for run in runs] == [7, 3]
