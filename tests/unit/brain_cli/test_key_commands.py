import pytest
from sqlalchemy import create_engine
from typer.testing import CliRunner

from brain_cli.main import app
from brain_core.errors import DatabaseError, KeyNotFound, KeyTaken, SettingsError
from brain_core.keys import KeyStore, key_hash


@pytest.fixture
def brain(monkeypatch, database_url, tmp_path):
    """Runs `brain keys …` on the test's database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRAIN_DATABASE__URL", database_url)

    def run(*arguments):
        result = CliRunner().invoke(app, ["keys", *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def active(database_url):
    engine = create_engine(database_url)
    yield KeyStore(engine).active
    engine.dispose()


def test_a_made_key_is_printed_alone_so_that_a_script_can_take_it(brain, active):
    result = brain(
        "create", "job", "--scope", "predict", "--scope", "read", "--rate-per-minute", "7", "--expires-days", "9"
    )
    key = active()[key_hash(result.stdout.strip())]
    assert (key.name, key.scopes, key.rate_per_minute) == ("job", {"predict", "read"}, 7)
    assert (key.expires_at - key.created_at).days in {8, 9}
    assert "not shown again" in result.stderr


def test_a_key_needs_no_name(brain, active):
    brain("create", "--scope", "predict")
    brain("create", "--scope", "predict")
    assert len({key.name for key in active().values()}) == 2


@pytest.mark.parametrize("arguments", [(), ("--scope", "everything"), ("--scope", "read", "--rate-per-minute", "0")])
def test_wrong_use_is_told(brain, active, arguments):
    assert brain("create", *arguments).exit_code == 2
    assert active() == {}


def test_keys_are_listed_without_their_secrets_and_revoked_by_name(brain, active):
    assert "no key" in brain("list").stdout
    secret = brain("create", "job", "--scope", "predict").stdout.strip()
    assert "revoked" in brain("revoke", "job").stdout
    listed = brain("list").stdout
    assert "job" in listed
    assert "revoked" in listed
    assert secret not in listed
    assert active() == {}


def test_a_name_that_is_taken_or_missing_is_an_error(brain):
    brain("create", "job", "--scope", "predict")
    with pytest.raises(KeyTaken):
        brain("create", "job", "--scope", "predict")
    with pytest.raises(KeyNotFound):
        brain("revoke", "other")


def test_the_key_of_the_pages_is_the_one_in_their_setting(brain, active, monkeypatch):
    monkeypatch.setenv("BRAIN_DASHBOARD__API_KEY", "p" * 32)
    for _ in range(2):
        result = brain("create", "--of-dashboard", "--scope", "admin")
        assert "p" * 32 not in result.output
    assert active()[key_hash("p" * 32)].is_admin


def test_without_that_setting_it_is_asked_for(brain):
    with pytest.raises(SettingsError, match="BRAIN_DASHBOARD__API_KEY"):
        brain("create", "--of-dashboard", "--scope", "admin")


def test_a_database_that_is_away_is_told(brain, monkeypatch, tmp_path):
    monkeypatch.setenv("BRAIN_DATABASE__URL", f"postgresql://nobody@/nothing?host={tmp_path}")
    with pytest.raises(DatabaseError):
        brain("list")


def test_without_any_database_it_is_said_what_to_do(brain, monkeypatch):
    monkeypatch.delenv("BRAIN_DATABASE__URL")
    with pytest.raises(SettingsError, match="BRAIN_DATABASE__URL"):
        brain("list")
