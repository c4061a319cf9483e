import logging

import pytest

from brain_core.errors import DatabaseError, StorageError
from brain_core.outbox import OutboxState
from brain_core.strays import Swept
from serving.upkeep import LONGEST_PAUSE_S, Rhythm, Upkeep
from tests.fixtures_serving import wait_until


class Outbox:
    """So many images wait; delivering can fail."""

    def __init__(self, depth=0):
        self.depth, self.error = depth, None

    def deliver_one(self, write):
        if self.error is not None:
            raise self.error
        if self.depth == 0:
            return False
        self.depth -= 1
        return True

    def state(self):
        return OutboxState(self.depth, 1.0)


class Shelf:
    def __init__(self):
        self.returns = 0

    def deliver(self, key, data):
        pass

    def note_return(self):
        self.returns += 1


class Sweeper:
    def __init__(self):
        self.sweeps, self.found = 0, Swept(0, 0)

    def sweep(self):
        self.sweeps += 1
        return self.found


@pytest.fixture
def parts():
    return Outbox(depth=3), Shelf(), Sweeper()


def upkeep(parts, outbox_s=0.01, sweep_s=3600.0):
    return Upkeep(*parts, Rhythm(outbox_s, sweep_s))


def test_a_round_delivers_all_that_is_due_and_sweeps_when_it_is_time(parts):
    rounds, seen = upkeep(parts), []
    rounds.on_outbox = seen.append
    rounds.round()
    rounds.round()
    outbox, shelf, sweeper = parts
    assert (outbox.depth, sweeper.sweeps, shelf.returns) == (0, 1, 2)
    assert [state.depth for state in seen] == [0, 0]


def test_while_something_waits_the_bucket_does_not_count_as_back(parts):
    parts[0].error = StorageError("away")
    rounds, seen = upkeep(parts), []
    rounds.on_outbox = seen.append
    rounds.round()
    assert (parts[1].returns, parts[2].sweeps) == (0, 0)
    assert [state.depth for state in seen] == [3]


@pytest.mark.parametrize("error", [StorageError("away"), DatabaseError("away"), ZeroDivisionError("a fault")])
def test_a_part_that_is_away_is_logged_once_and_tried_less_and_less_often(parts, error, caplog):
    parts[0].error = error
    rounds, pauses = upkeep(parts, outbox_s=1.0), []
    for _ in range(12):
        rounds.round()
        pauses.append(rounds.pause_s())
    assert pauses[:3] == [2.0, 4.0, 8.0]
    assert pauses[-1] == LONGEST_PAUSE_S
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    parts[0].error = None
    rounds.round()
    assert rounds.pause_s() == 1.0


def test_what_was_swept_is_logged(parts, caplog):
    caplog.set_level(logging.INFO)
    parts[2].found = Swept(2, 1)
    upkeep(parts).round()
    assert any(getattr(record, "brain.sweep.noted", None) == 2 for record in caplog.records)


def test_it_goes_round_by_itself_until_it_is_stopped(parts):
    rounds = upkeep(parts)
    rounds.start()
    wait_until(lambda: parts[0].depth == 0 and parts[2].sweeps == 1)
    rounds.stop()
    assert not rounds._thread.is_alive()
