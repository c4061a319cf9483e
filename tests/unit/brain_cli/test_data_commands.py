import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from brain_assets.ml.versions import keep_version
from brain_cli.data_commands import data_commands
from brain_core.errors import DataVersionUnknown
from brain_core.storage import LocalBucket

ROWS = [
    ("data/Training/glioma/a.jpg", "glioma", "Training", "own", "1", True, None),
    ("data/Testing/notumor/b.jpg", "notumor", "Testing", "own", "2", True, None),
    ("data/Training/glioma/c.jpg", "glioma", "Training", "own", "3", False, "It is truncated."),
]
COLUMNS = ["key", "label", "published_split", "source", "sha256", "decodes", "reason"]


@pytest.fixture
def home(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def version(home) -> str:
    manifest = pd.DataFrame(ROWS, columns=COLUMNS)
    return keep_version(LocalBucket(home / "bucket"), manifest, datetime(2026, 1, 1, tzinfo=UTC)).version


def run(*arguments: str) -> str:
    result = CliRunner().invoke(data_commands, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_without_a_build_the_list_says_what_to_do(home):
    assert "brain up" in run("versions")
    assert json.loads(run("versions", "--json")) == []


def test_versions_are_listed_with_what_they_hold(version):
    printed = run("versions")
    assert version in printed
    assert "glioma 1, notumor 1" in printed
    assert json.loads(run("versions", "--json"))[0]["unreadable_images"] == 1


def test_a_version_shows_its_classes_and_what_was_left_out(version):
    printed = run("show", version[:8])
    assert "Testing" in printed
    assert "data/Training/glioma/c.jpg: It is truncated." in printed
    assert json.loads(run("show", version, "--json"))["images"] == 2


def test_a_manifest_is_written_as_csv(version, tmp_path):
    run("show", version, "--output", str(tmp_path / "manifest.csv"))
    assert pd.read_csv(tmp_path / "manifest.csv")["key"].tolist() == [row[0] for row in ROWS]


def test_an_unknown_version_is_an_error_that_says_where_to_look(version):
    with pytest.raises(DataVersionUnknown, match="brain data versions"):
        run("show", "nonsense")
