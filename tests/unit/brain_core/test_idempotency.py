import pytest

from brain_core.errors import IdempotencyKeyInvalid
from brain_core.idempotency import IdempotencyKey, KeyedToken

KEY = "7f2c9f0e-5b1d-4c55-8f6a-0d9a54a3a4b1"


@pytest.mark.parametrize(
    "key", ["", "short", "x" * 256, "with a space in it", "umlaut-ä-0123456789", "tab\t0123456789012"]
)
def test_keys_that_are_no_good_are_refused(key):
    with pytest.raises(IdempotencyKeyInvalid, match="16 to 255"):
        IdempotencyKey(key)


def test_the_token_can_be_had_again_with_key_and_salt_only():
    token = KeyedToken.new(IdempotencyKey(KEY))
    assert KeyedToken(IdempotencyKey(KEY), token.salt).access_token == token.access_token
    assert len(token.access_token) == 43
    for other in (IdempotencyKey(KEY + "x"), IdempotencyKey(KEY, "another caller")):
        assert other.access_token(token.salt) != token.access_token
    assert KeyedToken.new(IdempotencyKey(KEY)).access_token != token.access_token


def test_what_is_stored_tells_neither_key_nor_token():
    key = IdempotencyKey(KEY)
    token = KeyedToken.new(key)
    assert KEY.encode() not in key.sha256
    assert token.access_token.encode() not in key.sha256 + token.salt


def test_keys_of_two_callers_never_meet():
    assert IdempotencyKey(KEY, "a").sha256 != IdempotencyKey(KEY, "b").sha256
    assert IdempotencyKey("b" + KEY, "a").sha256 != IdempotencyKey(KEY, "ab").sha256
