"""API keys: who may use the prediction API, and for what. Only a hash of a key is ever stored."""

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

import uuid6
from sqlalchemy import ARRAY, CheckConstraint, Engine, LargeBinary, String, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from brain_core.database import translated_errors
from brain_core.errors import KeyNotFound, KeyTaken
from brain_core.tables import Base

KEY_PREFIX = "brain_"
"""Makes a key that leaked into a file or a log easy to find."""

_SECRET_BYTES = 32


class Scope(StrEnum):
    """What a key may be used for."""

    PREDICT = "predict"
    FEEDBACK = "feedback"
    READ = "read"
    ADMIN = "admin"


_SCOPE_LIST = ", ".join(f"'{scope}'" for scope in Scope)


class ApiKeyRow(Base):
    """One key; a revoked one stays, so that it is known whose predictions were made with it."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint(f"scopes <@ ARRAY[{_SCOPE_LIST}]::varchar[]", name="known_scopes"),
        CheckConstraint("rate_per_minute > 0", name="positive_rate"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid6.uuid7)
    name: Mapped[str] = mapped_column(unique=True)
    key_sha256: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    rate_per_minute: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


@dataclass(frozen=True)
class KeyGrant:
    """What a new key is given.

    Attributes:
        name: of the key, for people; each may be used once.
        scopes: at least one.
        rate_per_minute: requests a minute; None: the server's usual rate.
        expires_at: with its time zone; None: never.
    """

    name: str
    scopes: frozenset[Scope]
    rate_per_minute: int | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True)
class ApiKey:
    """A key as it is stored, without the secret.

    Attributes:
        id: names the key in logs and rows.
        name: for people.
        scopes: what it may be used for.
        rate_per_minute: requests a minute; None: the server's usual rate.
        created_at: when it was made.
        expires_at: from then on it is refused; None: never.
        revoked_at: since then it is refused; None: it is not revoked.
    """

    id: UUID
    name: str
    scopes: frozenset[Scope]
    rate_per_minute: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @property
    def is_admin(self) -> bool:
        """May it be used for everything, also with other people's predictions?"""
        return Scope.ADMIN in self.scopes

    def allows(self, scope: Scope) -> bool:
        """May it be used for this?"""
        return scope in self.scopes or self.is_admin

    def state(self, now: datetime) -> str:
        """`active`, `revoked` or `expired`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


class KeyStore:
    """Keeps API keys; every method raises `DatabaseError` when PostgreSQL is away."""

    def __init__(self, engine: Engine) -> None:
        self._sessions = sessionmaker(engine)

    def create(self, grant: KeyGrant, secret: str | None = None) -> tuple[ApiKey, str]:
        """Make a key; the secret in the answer is shown this once.

        Args:
            grant: what it is for.
            secret: to be the key, at least 32 characters; None: a random one.

        Raises:
            KeyTaken: another key has this name or this secret.
        """
        secret = secret or KEY_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        row = ApiKeyRow(
            name=grant.name,
            key_sha256=key_hash(secret),
            scopes=sorted(grant.scopes),
            rate_per_minute=grant.rate_per_minute,
            expires_at=grant.expires_at,
        )
        try:
            with self._transaction() as session:
                session.add(row)
                session.flush()
                return _api_key(row), secret
        except IntegrityError as exc:
            raise KeyTaken(
                f"There was a key {grant.name!r} before, or one with this secret. Use another name."
            ) from exc

    def ensure(self, grant: KeyGrant, secret: str) -> ApiKey:
        """Let `secret` be the key of this name: made where there is none, else changed to it; safe to repeat.

        Raises:
            KeyTaken: another key has this secret, or it was revoked.
        """
        try:
            with self._transaction() as session:
                row = session.scalar(select(ApiKeyRow).where(ApiKeyRow.name == grant.name)) or ApiKeyRow(
                    name=grant.name
                )
                if row.revoked_at is not None and row.key_sha256 == key_hash(secret):
                    raise KeyTaken(f"The key {grant.name!r} was revoked with this secret. Set another one.")
                row.key_sha256, row.scopes, row.revoked_at = key_hash(secret), sorted(grant.scopes), None
                row.rate_per_minute, row.expires_at = grant.rate_per_minute, grant.expires_at
                session.add(row)
                session.flush()
                return _api_key(row)
        except IntegrityError as exc:
            raise KeyTaken("Another key has this secret. Set another one.") from exc

    def all(self) -> list[ApiKey]:
        """Every key that was ever made, the newest first."""
        with self._transaction() as session:
            return [_api_key(row) for row in session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.id.desc()))]

    def active(self) -> dict[bytes, ApiKey]:
        """The keys that are good now, by `key_hash`."""
        with self._transaction() as session:
            rows = session.scalars(
                select(ApiKeyRow).where(
                    ApiKeyRow.revoked_at.is_(None),
                    ApiKeyRow.expires_at.is_(None) | (ApiKeyRow.expires_at > func.now()),
                )
            )
            return {row.key_sha256: _api_key(row) for row in rows}

    def revoke(self, name: str) -> ApiKey:
        """Refuse a key from now on; servers follow within seconds. Repeating it changes nothing.

        Raises:
            KeyNotFound: there is none of this name.
        """
        with self._transaction() as session:
            row = session.scalar(select(ApiKeyRow).where(ApiKeyRow.name == name).with_for_update())
            if row is None:
                raise KeyNotFound(f"There is no key {name!r}. `brain keys list` shows those that there are.")
            row.revoked_at = row.revoked_at or datetime.now(UTC)
            session.flush()
            return _api_key(row)

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with translated_errors(), self._sessions.begin() as session:
            yield session


def key_hash(secret: str) -> bytes:
    """What is stored of a key: 32 bytes of SHA-256. A key is random, so that no slow hash is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def scopes_of(names: Iterable[str]) -> frozenset[Scope]:
    """Scopes by their names; raises `ValueError` for another name."""
    return frozenset(Scope(name) for name in names)


def _api_key(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        scopes=scopes_of(row.scopes),
        rate_per_minute=row.rate_per_minute,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
