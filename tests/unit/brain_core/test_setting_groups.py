import pytest

from brain_core.errors import SettingsError
from brain_core.setting_groups import Group, ServingSettings
from brain_core.settings import Settings, load_settings, setting_names


def test_addresses_on_this_machine_follow_their_ports(monkeypatch):
    monkeypatch.setenv("BRAIN_MLFLOW__PORT", "5678")
    monkeypatch.setenv("BRAIN_DAGSTER__PORT", "3456")
    settings = load_settings()
    assert (settings.mlflow.uri, settings.dagster.url) == ("http://127.0.0.1:5678", "http://127.0.0.1:3456")
    monkeypatch.setenv("BRAIN_MLFLOW__URI", "http://mlflow:5000")
    assert load_settings().mlflow.uri == "http://mlflow:5000"


def test_a_wrong_port_is_told_once(monkeypatch):
    monkeypatch.setenv("BRAIN_MLFLOW__PORT", "80")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).splitlines() == [
        "BRAIN_MLFLOW__PORT: Input should be greater than or equal to 1024 (got '80')"
    ]


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("10.1.2.3", False), ("::", False)],
)
def test_only_addresses_of_this_machine_need_no_keys(host, is_local):
    serving = load_settings(serving={"host": host}).serving
    assert (serving.is_local, serving.needs_keys) == (is_local, not is_local)
    assert load_settings(serving={"host": host, "require_keys": True}).serving.needs_keys


@pytest.mark.parametrize(
    ("cores", "given", "threads", "at_once"),
    [
        (1, {}, 1, 1),
        (2, {}, 2, 1),
        (2, {"workers": 2}, 1, 1),
        (2, {"workers": 3}, 1, 1),
        (8, {}, 4, 2),
        (8, {"workers": 2, "threads": 1}, 1, 4),
        (8, {"threads": 16}, 16, 1),
    ],
)
def test_workers_runs_and_threads_make_up_the_cores(monkeypatch, cores, given, threads, at_once):
    monkeypatch.setattr("brain_core.setting_groups.usable_cores", lambda: cores)
    serving = ServingSettings(**given)
    assert (serving.model_threads, serving.runs_at_once) == (threads, at_once)


def test_an_address_that_is_none_is_told(monkeypatch):
    monkeypatch.setenv("BRAIN_SERVING__HOST", "example.org")
    with pytest.raises(SettingsError, match=r"BRAIN_SERVING__HOST: .*an IP address"):
        load_settings()


def test_every_setting_has_a_description():
    groups = [f.annotation for f in Settings.model_fields.values() if isinstance(f.annotation, type)]
    fields = [f for g in groups if issubclass(g, Group) for f in g.model_fields.values()]
    assert len(fields) > 25
    assert all(field.description for field in fields)
    assert len(setting_names()) == len(set(setting_names()))
