import pytest

from brain_cli.doctor import examine
from brain_core.settings import load_settings


@pytest.fixture
def findings(monkeypatch, tmp_path):
    for name in ("SERVING", "DAGSTER", "MLFLOW", "DASHBOARD"):
        monkeypatch.setenv(f"BRAIN_{name}__PORT", "1024")
    monkeypatch.setenv("BRAIN_MLFLOW__URI", "http://127.0.0.1:1024")
    return {finding.name: finding for finding in examine(load_settings(home=tmp_path))}


def test_versions_are_told(findings):
    assert findings["python"].state == "ok"
    assert findings["tensorflow"].detail.count(".") >= 2


def test_what_does_not_run_is_off_not_missing(findings):
    assert findings["serving"].state == "off"
    assert "does not answer" in findings["serving"].detail
    assert findings["elasticsearch"].detail.startswith("not set")
    assert findings["champion"].state == "off"


def test_an_installation_without_faults_misses_nothing(findings):
    assert [name for name, finding in findings.items() if finding.state == "missing"] == []


def test_a_home_that_cannot_be_written_is_missing(tmp_path):
    (tmp_path / "file").write_text("")
    findings = {finding.name: finding for finding in examine(load_settings(home=tmp_path / "file" / "home"))}
    assert findings["home"].state == "missing"
