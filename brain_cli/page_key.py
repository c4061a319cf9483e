"""The API key of the pages of one platform: made at each start, so that they may do what only an admin may."""

import secrets

from pydantic import SecretStr

from brain_core.database import open_engine
from brain_core.keys import KeyGrant, KeyStore, Scope
from brain_core.settings import Settings, sqlalchemy_url

NAME = "dashboard"
RATE_PER_MINUTE = 60_000
"""Everybody who looks at the pages shares it."""


def with_page_key(settings: Settings) -> Settings:
    """The settings with a key for the pages: the one that is set, else a random one."""
    if settings.dashboard.api_key is not None:
        return settings
    key = SecretStr(secrets.token_urlsafe(32))
    return settings.model_copy(update={"dashboard": settings.dashboard.model_copy(update={"api_key": key})})


def store_page_key(settings: Settings, database_url: str) -> None:
    """Let the API know that key; the one of an earlier start is good no longer.

    Raises:
        DatabaseError: PostgreSQL is away.
        KeyTaken: the key that is set was revoked, or is another's.
    """
    key = settings.dashboard.api_key
    if key is None:
        return
    engine = open_engine(sqlalchemy_url(database_url), pool_size=1)
    try:
        grant = KeyGrant(NAME, frozenset({Scope.ADMIN}), RATE_PER_MINUTE)
        KeyStore(engine).ensure(grant, key.get_secret_value())
    finally:
        engine.dispose()
