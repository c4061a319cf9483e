import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from brain_core.errors import DatabaseError, KeyMissing, KeyRefused, RateLimited, ScopeMissing
from brain_core.keys import ApiKey, Scope, key_hash
from brain_core.setting_groups import ServingSettings
from serving import security
from serving.rate_limits import RateLimiter
from serving.security import Caller, Guard, KeyRing


def api_key(*scopes, rate=None):
    return ApiKey(uuid4(), "name", frozenset(scopes), rate, datetime.now(UTC), None, None)


class Keys:
    """Keys that can change, and be away; counts the reads."""

    def __init__(self, **keys):
        self.keys, self.reads, self.is_away = keys, 0, False

    def read(self):
        self.reads += 1
        if self.is_away:
            raise DatabaseError("PostgreSQL is away.")
        return {key_hash(secret): key for secret, key in self.keys.items()}


@pytest.fixture
def passing(monkeypatch):
    """A clock of the key ring that a test moves."""
    now = [100.0]
    monkeypatch.setattr(security.time, "monotonic", lambda: now[0])

    def move(seconds):
        now[0] += seconds

    return move


def guard(keys, limiter=None, **settings):
    ring = KeyRing(keys.read, 5.0)
    return Guard(ServingSettings(**settings), ring, limiter or RateLimiter())


def admit(guard, secret, scope=Scope.PREDICT):
    return asyncio.run(guard.admit(secret, scope))


def test_many_requests_cost_one_read(passing):
    keys = Keys(good=api_key(Scope.PREDICT))
    ring = KeyRing(keys.read, 5.0)

    async def many():
        await asyncio.gather(*(ring.find("good") for _ in range(50)))

    asyncio.run(many())
    assert keys.reads == 1


def test_a_revoked_key_is_refused_when_the_keys_are_read_again(passing):
    keys = Keys(good=api_key(Scope.PREDICT))
    ring = KeyRing(keys.read, 5.0)

    async def story():
        await ring.find("good")
        keys.keys.clear()
        await ring.find("good")
        passing(5.1)
        with pytest.raises(KeyRefused):
            await ring.find("good")

    asyncio.run(story())


def test_a_new_key_is_good_after_a_second_and_guesses_do_not_reach_the_database(passing):
    keys = Keys()
    ring = KeyRing(keys.read, 5.0)

    async def story():
        for guess in range(100):
            with pytest.raises(KeyRefused):
                await ring.find(f"guess {guess}")
        assert keys.reads == 1
        keys.keys["new"] = api_key(Scope.READ)
        passing(1.1)
        await ring.find("new")

    asyncio.run(story())


def test_a_database_that_is_away_lets_nobody_in(passing):
    keys = Keys(good=api_key(Scope.PREDICT))
    keys.is_away = True
    with pytest.raises(DatabaseError):
        asyncio.run(KeyRing(keys.read, 5.0).find("good"))


def test_on_this_machine_nobody_needs_a_key_but_one_that_is_sent_counts():
    local = guard(Keys(good=api_key(Scope.PREDICT)))
    assert admit(local, None) == Caller(None)
    with pytest.raises(KeyRefused):
        admit(guard(Keys()), "wrong")


@pytest.mark.parametrize("settings", [{"host": "192.0.2.7"}, {"host": "0.0.0.0"}, {"require_keys": True}])
def test_elsewhere_or_when_asked_for_a_key_is_needed(settings):
    with pytest.raises(KeyMissing):
        admit(guard(Keys(), **settings), None)


def test_a_key_is_for_its_scopes_and_an_admin_key_for_all():
    keys = Keys(predicting=api_key(Scope.PREDICT), admin=api_key(Scope.ADMIN))
    with pytest.raises(ScopeMissing) as caught:
        admit(guard(keys), "predicting", Scope.FEEDBACK)
    assert caught.value.scope == "feedback"
    assert not admit(guard(keys), "predicting").is_admin
    for scope in Scope:
        caller = admit(guard(keys), "admin", scope)
        assert (caller.is_admin, caller.key_id) == (True, keys.keys["admin"].id)


def test_a_key_is_held_to_its_own_rate_or_the_usual_one():
    keys = Keys(slow=api_key(Scope.PREDICT, rate=1), usual=api_key(Scope.PREDICT))
    held = guard(keys, rate_per_minute=12)

    async def story():
        await held.admit("slow", Scope.PREDICT)
        with pytest.raises(RateLimited) as caught:
            await held.admit("slow", Scope.PREDICT)
        assert 55 < caught.value.retry_after_s <= 60
        for _ in range(2):
            await held.admit("usual", Scope.PREDICT)
        with pytest.raises(RateLimited):
            await held.admit("usual", Scope.PREDICT)

    asyncio.run(story())


def test_requests_beyond_the_scopes_count_too():
    held = guard(Keys(slow=api_key(Scope.PREDICT, rate=1)))

    async def story():
        with pytest.raises(ScopeMissing):
            await held.admit("slow", Scope.ADMIN)
        with pytest.raises(RateLimited):
            await held.admit("slow", Scope.ADMIN)

    asyncio.run(story())
