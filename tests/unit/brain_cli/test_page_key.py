import pytest
from sqlalchemy import create_engine

from brain_cli.page_key import store_page_key, with_page_key
from brain_core.errors import KeyTaken
from brain_core.keys import KeyStore, key_hash
from brain_core.settings import Settings


@pytest.fixture
def keys(database_url):
    engine = create_engine(database_url)
    yield KeyStore(engine)
    engine.dispose()


def secret(settings):
    return settings.dashboard.api_key.get_secret_value()


def test_each_start_has_a_key_of_its_own_and_a_set_one_stays():
    plain = Settings(_env_file=None)
    first, second = with_page_key(plain), with_page_key(plain)
    assert len(secret(first)) >= 32
    assert secret(first) != secret(second)
    assert with_page_key(first) is first
    assert secret(first) not in repr(first)


def test_the_key_of_the_last_start_is_the_one_that_is_good(database_url, keys):
    for _ in range(2):
        settings = with_page_key(Settings(_env_file=None))
        store_page_key(settings, database_url)
    assert set(keys.active()) == {key_hash(secret(settings))}
    assert keys.active()[key_hash(secret(settings))].is_admin


def test_a_set_key_that_was_revoked_is_refused(database_url, keys):
    settings = with_page_key(Settings(_env_file=None))
    store_page_key(settings, database_url)
    keys.revoke("dashboard")
    with pytest.raises(KeyTaken):
        store_page_key(settings, database_url)


def test_without_a_key_nothing_is_stored(database_url, keys):
    store_page_key(Settings(_env_file=None), database_url)
    assert keys.all() == []
