from pathlib import Path

import pytest

from brain_core.errors import SettingsError
from brain_core.settings import (
    hand_down,
    load_settings,
    setting_names,
    share_folder,
    shared_folder,
    sqlalchemy_url,
)


def test_defaults_need_no_environment():
    settings = load_settings()
    assert settings.source.uri == "sample"
    assert settings.bucket_uri == str(Path.cwd() / ".brain" / "bucket")
    assert settings.inference_bucket_uri == settings.bucket_uri


def test_a_group_is_read_with_two_underscores(monkeypatch):
    monkeypatch.setenv("BRAIN_DAGSTER__PORT", "3456")
    assert load_settings().dagster.port == 3456


def test_an_unknown_setting_is_named_with_the_nearest_known_one(monkeypatch):
    monkeypatch.setenv("BRAIN_SORCE__URI", "sample")
    with pytest.raises(SettingsError, match=r"BRAIN_SORCE__URI is not a setting\. Did you mean BRAIN_SOURCE__URI\?"):
        load_settings()


def test_an_unknown_setting_in_the_file_is_named_like_one_in_the_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=x\nBRAIN_SOURCE__BATCH_SIZE=7\n")
    assert load_settings().source.batch_size == 7
    (tmp_path / ".env").write_text("BRAIN_SORCE__URI=sample\n")
    with pytest.raises(SettingsError, match=r"BRAIN_SORCE__URI is not a setting\. Did you mean BRAIN_SOURCE__URI\?"):
        load_settings()


@pytest.mark.parametrize("line", ["brain_sorce__uri=sample", "export BRAIN_SORCE__URI='sample'", "BRAIN_SORCE__URI="])
def test_an_unknown_setting_is_found_however_its_line_is_written(monkeypatch, tmp_path, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"{line}\n")
    with pytest.raises(SettingsError, match=r"Did you mean BRAIN_SOURCE__URI\?"):
        load_settings()


def test_a_file_that_is_no_text_is_named(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"BRAIN_HOME=\xff\xfe\n")
    with pytest.raises(SettingsError, match=r"\.env cannot be read"):
        load_settings()


def test_an_unknown_name_in_a_group_is_named_with_the_nearest_known_one():
    with pytest.raises(SettingsError, match=r"BRAIN_SOURCE__URL is not a setting\. Did you mean BRAIN_SOURCE__URI\?"):
        load_settings(source={"url": "sample"})


def test_a_wrong_value_is_named_with_what_is_allowed(monkeypatch):
    monkeypatch.setenv("BRAIN_SERVING__PORT", "80")
    with pytest.raises(SettingsError, match="BRAIN_SERVING__PORT: Input should be greater than or equal to 1024"):
        load_settings()


def test_settings_are_handed_down_to_processes_that_are_started(monkeypatch):
    for name in setting_names():
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    given = load_settings(serving={"port": 8123, "cors_origins": ("https://a.example",)})
    hand_down(given)
    assert load_settings().serving == given.serving


def test_the_folder_of_several_processes_is_named_to_them(monkeypatch, tmp_path):
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    assert shared_folder() is None
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    share_folder(tmp_path)
    assert shared_folder() == tmp_path


def test_a_wrong_secret_is_not_shown(monkeypatch):
    monkeypatch.setenv("BRAIN_LOGS__ELASTICSEARCH_PASSWORD", "hunter2")
    monkeypatch.setenv("BRAIN_LOGS__SHIP_INTERVAL_S", "-1")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_secrets_do_not_show_in_the_representation(monkeypatch):
    monkeypatch.setenv("BRAIN_DATABASE__URL", "postgresql://user:hunter2@host/brain")
    assert "hunter2" not in repr(load_settings())


def test_a_missing_database_url_says_what_to_do():
    with pytest.raises(SettingsError, match="BRAIN_DATABASE__URL is not set"):
        _ = load_settings().database_url


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_the_driver_is_named_for_sqlalchemy(scheme):
    assert sqlalchemy_url(f"{scheme}://u@h/db?host=/tmp") == "postgresql+psycopg2://u@h/db?host=/tmp"


def test_settings_survive_the_way_through_the_environment_of_a_process(monkeypatch, tmp_path):
    monkeypatch.setenv("BRAIN_MAIL__RECIPIENTS", '["a@example.org", "b@example.org"]')
    monkeypatch.setenv("BRAIN_MAIL__SMTP_TLS", "false")
    monkeypatch.setenv("BRAIN_DATABASE__URL", "postgresql://user:hunter2@host/brain")
    settings = load_settings(home=tmp_path)
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


def test_an_empty_variable_means_the_default(monkeypatch):
    defaults = load_settings()
    for name in setting_names():
        monkeypatch.setenv(name, "")
    assert load_settings() == defaults


def test_an_empty_variable_means_the_default_also_where_the_file_says_something_else(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("BRAIN_LOGS__ELASTICSEARCH_URL=https://search:9200\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings().logs.elasticsearch_url is not None
    monkeypatch.setenv("BRAIN_LOGS__ELASTICSEARCH_URL", "")
    assert load_settings().logs.elasticsearch_url is None
