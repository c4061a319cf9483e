from pathlib import Path

from brain_cli.parts import (
    DAGSTER_YAML,
    ROOT,
    RUN_MARK,
    bundled_model_part,
    code_socket,
    platform_environment,
    platform_parts,
)
from brain_core.settings import load_settings

URLS = {name: f"postgresql://postgres:@/{name}?host=/tmp/x" for name in ("brain", "mlflow", "dagster")}


def test_every_part_with_a_port_names_a_real_setting_and_is_opened_on_loopback():
    settings = load_settings()
    parts = [part for part in platform_parts(settings, "") if part.port is not None]
    assert {part.port_setting for part in parts} <= set(settings.as_environment())
    assert len({part.port for part in parts}) == len(parts) == 4
    assert all(part.url.startswith("http://127.0.0.1:") for part in parts)
    assert not [part.name for part in parts if "0.0.0.0" in part.command]


def test_database_urls_are_not_among_the_arguments():
    arguments = " ".join(word for part in platform_parts(load_settings(), URLS["mlflow"]) for word in part.command)
    assert "postgresql" not in arguments


def test_the_shipper_runs_only_where_elasticsearch_is_set(monkeypatch):
    assert "shipper" not in [part.name for part in platform_parts(load_settings(), "")]
    monkeypatch.setenv("BRAIN_LOGS__ELASTICSEARCH_URL", "http://127.0.0.1:9200")
    assert "shipper" in [part.name for part in platform_parts(load_settings(), "")]


def test_the_parts_find_each_other_on_the_ports_of_the_settings(monkeypatch):
    monkeypatch.setenv("BRAIN_SERVING__PORT", "8123")
    monkeypatch.setenv("BRAIN_MLFLOW__PORT", "5123")
    environment = platform_environment(load_settings(), URLS)
    assert environment["BRAIN_DASHBOARD__API_URL"] == "http://127.0.0.1:8123"
    assert environment["BRAIN_MLFLOW__URI"] == "http://127.0.0.1:5123"
    assert environment["BRAIN_DATABASE__URL"] == URLS["brain"]


def test_the_files_that_the_parts_need_are_there():
    assert (ROOT / "workspace.yaml").is_file()
    assert (ROOT / "dashboard" / "app.py").is_file()
    assert "enabled: false" in DAGSTER_YAML.partition("telemetry:")[2]


def test_every_process_carries_the_mark_of_its_home(tmp_path):
    assert platform_environment(load_settings(home=tmp_path), URLS)[RUN_MARK] == str(tmp_path)


def test_parts_wait_only_for_parts_that_start():
    parts = [*platform_parts(load_settings(), ""), bundled_model_part()]
    assert {name for part in parts for name in part.after} <= {part.name for part in parts}


def test_only_the_bundled_model_does_one_thing_and_ends():
    assert bundled_model_part().ends
    assert [part.name for part in platform_parts(load_settings(), "") if part.ends] == []


def test_the_path_of_the_socket_stays_short_enough_for_unix():
    near, far = Path("/tmp/home"), Path("/tmp") / ("deep/" * 40) / "home"
    assert code_socket(near).is_relative_to(near)
    assert len(str(code_socket(far))) < 100
    assert code_socket(far) == code_socket(far) != code_socket(far / "other")
