import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from brain_assets.ml import pretrained
from brain_cli.parts import RUN_MARK, platform_parts
from brain_cli.platform import first_model, only_one, refuse_taken_ports, running_platform, stop_leftovers
from brain_cli.processes import ProcessId
from brain_cli.record import PartRecord, PlatformRecord, write_record
from brain_core.errors import AlreadyRunning, PortTaken, StartupError
from brain_core.settings import Settings, load_settings
from tests.fixtures_platform import free_ports


def free_settings(home: Path) -> Settings:
    ports = free_ports(("SERVING", "DAGSTER", "MLFLOW", "DASHBOARD"))
    return load_settings(home=home, **{name.lower(): {"port": port} for name, port in ports.items()})


@pytest.fixture
def taken_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_names_its_setting(taken_port, monkeypatch, tmp_path):
    monkeypatch.setenv("BRAIN_DAGSTER__PORT", str(taken_port))
    settings = load_settings(home=tmp_path)
    with pytest.raises(PortTaken, match=f"Port {taken_port} for dagster-webserver is in use.* set BRAIN_DAGSTER__PORT"):
        refuse_taken_ports(platform_parts(settings, ""))


def test_a_taken_port_is_found_before_anything_is_started(taken_port, monkeypatch, tmp_path):
    monkeypatch.setenv("BRAIN_SERVING__PORT", str(taken_port))
    said: list[str] = []
    with pytest.raises(PortTaken), running_platform(load_settings(home=tmp_path), said.append):
        pytest.fail("started")
    assert said == []
    assert not (tmp_path / "postgres").exists()


def test_a_second_platform_on_the_same_home_is_refused(tmp_path):
    with (
        FileLock(tmp_path / "platform.lock"),
        pytest.raises(AlreadyRunning, match=r"already runs on .*BRAIN_HOME"),
        running_platform(load_settings(home=tmp_path), print),
    ):
        pytest.fail("started")


def test_the_refusal_names_the_process_and_dagit(tmp_path):
    this = ProcessId.of(os.getpid())
    assert this is not None
    dagit = PartRecord(name="web", process=this, title="Dagit", url="http://127.0.0.1:3999")
    write_record(tmp_path, PlatformRecord(supervisor=this, parts=(dagit,)))
    with (
        FileLock(tmp_path / "platform.lock"),
        pytest.raises(AlreadyRunning, match=rf"\(process {os.getpid()}, Dagit: http://127.0.0.1:3999\).*brain down"),
        only_one(tmp_path),
    ):
        pytest.fail("started")


def test_a_home_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StartupError, match=r"cannot be written: .* Set BRAIN_HOME to a folder"),
        running_platform(free_settings(tmp_path / "file" / "home"), print),
    ):
        pytest.fail("started")


def test_a_home_that_cannot_be_filled_is_a_sentence(tmp_path):
    (tmp_path / "dagster").write_text("in the way")
    with (
        pytest.raises(StartupError, match=r"cannot be written: .* Set BRAIN_HOME to a folder"),
        running_platform(free_settings(tmp_path), print),
    ):
        pytest.fail("started")
    assert not (tmp_path / "platform.json").exists()


def test_what_a_killed_platform_left_is_stopped_and_named(tmp_path):
    environment = {**os.environ, RUN_MARK: str(tmp_path)}
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command, env=environment) as known, subprocess.Popen(command, env=environment) as unknown:
        identity, dead = ProcessId.of(known.pid), ProcessId(pid=known.pid, created_at=1)
        assert identity is not None
        part = PartRecord(name="dagster-daemon", process=identity)
        write_record(tmp_path, PlatformRecord(supervisor=dead, phase="running", parts=(part,)))
        assert sorted(stop_leftovers(tmp_path)) == ["dagster-daemon", f"process {unknown.pid}"]
    assert not (tmp_path / "platform.json").exists()
    assert stop_leftovers(tmp_path) == []


@pytest.fixture
def bundled(monkeypatch, pretrained_folder):
    monkeypatch.setattr(pretrained.has_pretrained, "__defaults__", (pretrained_folder,))


def test_the_bundled_model_is_published_where_there_is_no_champion_yet(bundled, tmp_path):
    said: list[str] = []
    assert [part.name for part in first_model(load_settings(home=tmp_path), said.append)] == ["bundled-model"]
    assert said == []


def test_the_bundled_model_is_left_out_where_there_is_a_champion(bundled, champion_bucket):
    assert first_model(load_settings(bucket={"uri": str(champion_bucket.root)}), pytest.fail) == []


def test_the_bundled_model_is_left_out_where_it_is_not_wanted(bundled, tmp_path):
    assert first_model(load_settings(home=tmp_path, model={"bundled": False}), pytest.fail) == []


def test_an_installation_without_a_model_is_told_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained.has_pretrained, "__defaults__", (tmp_path / "nothing",))
    said: list[str] = []
    assert first_model(load_settings(home=tmp_path), said.append) == []
    assert len(said) == 1
    assert "the first one that is built becomes the champion" in said[0]
