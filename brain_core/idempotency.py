"""Retries that change nothing: an upload that is sent again with the same key gets the same answer.

The answer holds an access token of which only the hash is stored. For an upload with a key the token is therefore
derived from the key and a random salt: whoever has the key can have the token again, the database alone cannot.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from brain_core.errors import IdempotencyKeyInvalid

MIN_LENGTH, MAX_LENGTH = 16, 255
SALT_BYTES = 32


@dataclass(frozen=True)
class IdempotencyKey:
    """A client's key for one upload.

    Args:
        key: what the client sent as `Idempotency-Key`; a UUID is a good one.
        caller: who sent it; the keys of two callers never meet.

    Raises:
        IdempotencyKeyInvalid: not 16 to 255 visible ASCII characters.
    """

    key: str
    caller: str = ""

    def __post_init__(self) -> None:
        is_visible = all("!" <= character <= "~" for character in self.key)
        if not (MIN_LENGTH <= len(self.key) <= MAX_LENGTH and is_visible):
            raise IdempotencyKeyInvalid(
                f"An Idempotency-Key has {MIN_LENGTH} to {MAX_LENGTH} visible ASCII characters; send a new UUID for "
                "each upload, and the same one when you send that upload again."
            )

    @property
    def sha256(self) -> bytes:
        """What is stored to find the upload again."""
        return self._hash("lookup")

    def access_token(self, salt: bytes) -> str:
        """The upload's access token; as unguessable as `salt`, which is random."""
        digest = hmac.new(self._hash("token"), salt, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def _hash(self, purpose: str) -> bytes:
        return hashlib.sha256("\0".join((purpose, self.caller, self.key)).encode()).digest()


@dataclass(frozen=True)
class KeyedToken:
    """An access token that whoever has the idempotency key can have again; only `salt` is stored."""

    key: IdempotencyKey
    salt: bytes

    @classmethod
    def new(cls, key: IdempotencyKey) -> "KeyedToken":
        """A new token for an upload with this key."""
        return cls(key, secrets.token_bytes(SALT_BYTES))

    @property
    def access_token(self) -> str:
        """The token; as unguessable as the salt, which is random."""
        return self.key.access_token(self.salt)
