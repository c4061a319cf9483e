"""Who sends a request, and may they? API keys, their scopes and their rates."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from starlette.concurrency import run_in_threadpool

from brain_core.errors import KeyMissing, KeyRefused, RateLimited, ScopeMissing
from brain_core.keys import ApiKey, Scope, key_hash
from brain_core.setting_groups import ServingSettings
from serving.rate_limits import RateLimiter

KEY_HEADER = "X-API-Key"

UNKNOWN_WAIT_S = 1.0
"""A key that is not known makes the keys be read again, but not more often than this: it may just have been made."""


@dataclass(frozen=True)
class Caller:
    """Who sent a request; `key` is None for someone on this machine, where none is needed."""

    key: ApiKey | None = None

    @property
    def key_id(self) -> UUID | None:
        """Id of the key, as it is stored with what was made by it."""
        return self.key.id if self.key else None

    @property
    def name(self) -> str:
        """Name of the key; empty without one."""
        return self.key.name if self.key else ""

    @property
    def is_admin(self) -> bool:
        """Does an admin key stand in for access tokens?"""
        return self.key is not None and self.key.is_admin


class KeyRing:
    """The good keys, read again every few seconds: no request costs a round trip to the database.

    Args:
        read: gives the good keys by `key_hash`; blocks.
        cache_s: after so many seconds they are read again.
    """

    def __init__(self, read: Callable[[], dict[bytes, ApiKey]], cache_s: float) -> None:
        self._read, self._cache_s = read, cache_s
        self._keys: dict[bytes, ApiKey] = {}
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, secret: str) -> ApiKey:
        """The key with this secret.

        Raises:
            KeyRefused: there is none that is good.
            DatabaseError: PostgreSQL is away for longer than keys may be remembered.
        """
        digest = key_hash(secret)
        await self._refresh(self._cache_s)
        if digest not in self._keys:
            await self._refresh(min(self._cache_s, UNKNOWN_WAIT_S))
        if digest not in self._keys:
            raise KeyRefused("The API key is unknown, revoked or expired.")
        return self._keys[digest]

    async def _refresh(self, max_age_s: float) -> None:
        if time.monotonic() - self._read_at <= max_age_s:
            return
        async with self._lock:
            now = time.monotonic()
            # Whoever waited for the lock finds them read.
            if now - self._read_at > max_age_s:
                self._keys = await run_in_threadpool(self._read)
                self._read_at = now


class Guard:
    """Decides whether a request is answered."""

    def __init__(self, settings: ServingSettings, ring: KeyRing, limiter: RateLimiter) -> None:
        self._settings, self._ring, self._limiter = settings, ring, limiter

    async def admit(self, secret: str | None, scope: Scope) -> Caller:
        """Who has this key, if they may do this now.

        Args:
            secret: the key as it was sent; None when none was.
            scope: what the request needs.

        Raises:
            KeyMissing: none was sent, and this server answers nobody without, or it is for an admin to do.
            KeyRefused: it is unknown, revoked or expired.
            RateLimited: it was used too often.
            ScopeMissing: it is not for this.
            DatabaseError: PostgreSQL is away, so that keys cannot be checked.
        """
        if secret is None:
            if self._settings.needs_keys or scope is Scope.ADMIN:
                raise KeyMissing(f"This needs an API key with the scope {scope.value!r}, in the header {KEY_HEADER}.")
            return Caller()
        key = await self._ring.find(secret)
        wait_s = self._limiter.wait_s(key.id, key.rate_per_minute or self._settings.rate_per_minute)
        if wait_s:
            raise RateLimited(f"The API key {key.name!r} was used more often than it may be.", wait_s)
        if not key.allows(scope):
            raise ScopeMissing(f"The API key {key.name!r} lacks the scope {scope.value!r}.", scope.value)
        return Caller(key)
