import socket

import pytest
from filelock import FileLock

from brain_cli.parts import platform_parts
from brain_cli.platform import is_free, refuse_taken_ports, running_platform
from brain_core.errors import AlreadyRunning, PortTaken
from brain_core.settings import load_settings


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


def test_a_free_port_is_free(taken_port):
    assert not is_free(taken_port)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert is_free(port)
