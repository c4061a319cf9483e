import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from brain_core.batches import MAX_BATCH, Batches
from brain_core.errors import DatabaseError


class Table:
    """Takes batches; the first waits until it may go on, so that others gather behind it."""

    def __init__(self):
        self.batches, self.may_go_on, self.is_in = [], threading.Event(), threading.Event()
        self.error = None

    def commit(self, items):
        if not self.batches:
            self.batches.append(list(items))
            self.is_in.set()
            self.may_go_on.wait(10)
        else:
            self.batches.append(list(items))
        if self.error is not None:
            raise self.error
        if "bad" in items:
            raise ValueError("bad item")
        return [item.upper() for item in items]


def gathered(table, items):
    """Write one item, and the others while it is under way; gives what became of each."""
    writer = Batches(table.commit, leaders=1)
    with ThreadPoolExecutor(len(items) + 1) as pool:
        first = pool.submit(writer.add, "first")
        assert table.is_in.wait(10)
        rest = [pool.submit(writer.add, item) for item in items]
        while len(writer._waiting) < len(items):
            pass
        table.may_go_on.set()
    return [first, *rest]


def test_what_comes_while_one_is_under_way_is_written_together():
    table = Table()
    futures = gathered(table, ["a", "b", "c"])
    assert [future.result() for future in futures] == ["FIRST", "A", "B", "C"]
    assert [len(batch) for batch in table.batches] == [1, 3]


def test_a_batch_has_a_limit():
    table = Table()
    futures = gathered(table, ["x"] * (MAX_BATCH + 5))
    assert all(future.result() for future in futures)
    assert [len(batch) for batch in table.batches] == [1, MAX_BATCH, 5]


def test_an_item_that_cannot_be_written_takes_no_other_with_it():
    first, good, bad, other = gathered(Table(), ["good", "bad", "other"])
    assert (first.result(), good.result(), other.result()) == ("FIRST", "GOOD", "OTHER")
    with pytest.raises(ValueError, match="bad item"):
        bad.result()


def test_when_the_database_is_away_all_fail_at_once():
    table = Table()
    table.error = DatabaseError("away")
    for future in gathered(table, ["a", "b"]):
        with pytest.raises(DatabaseError):
            future.result()
    assert [len(batch) for batch in table.batches] == [1, 2]


def test_after_a_failure_the_next_is_written():
    table = Table()
    table.may_go_on.set()
    writer = Batches(table.commit)
    with pytest.raises(ValueError, match="bad"):
        writer.add("bad")
    assert writer.add("good") == "GOOD"


@pytest.mark.parametrize("leaders", [1, 2, 3])
def test_many_threads_each_get_their_own_result(leaders):
    under_way, most, lock = [0], [0], threading.Lock()

    def commit(items):
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(0.001)
        with lock:
            under_way[0] -= 1
        return [item * 2 for item in items]

    writer = Batches(commit, leaders)
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(writer.add, range(400))) == [number * 2 for number in range(400)]
    assert 1 <= most[0] <= leaders
    assert writer.add(7) == 14
