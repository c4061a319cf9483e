"""`brain models …` on a registry in memory and a real PostgreSQL."""

import json
import sys

import pytest
from typer.testing import CliRunner

from brain_assets.ml.publishing import VersionRefused
from brain_cli import main, model_commands
from brain_core.bundle import read_champion
from brain_core.errors import SettingsError
from brain_core.storage import LocalBucket, model_key, write_json
from tests.fixtures_bundle import promote, upload_bundle
from tests.fixtures_registry import MemoryRegistry

DECISION = {
    "version": "2",
    "decision": {
        "is_promoted": False,
        "reason": "The champion 1 stays: provenance (sample against public).",
        "rules": [{"name": "provenance", "value": "sample against public", "limit": "never", "passed": False}],
    },
}


@pytest.fixture
def registry(monkeypatch) -> MemoryRegistry:
    registry = MemoryRegistry("1", "2")
    registry.metrics = {"test_macro_f1": 0.91, "test_macro_f1_low": 0.88, "test_macro_f1_high": 0.93, "test_ece": 0.02}
    registry.aliases = {"champion": "1"}
    monkeypatch.setattr(model_commands, "_registry", lambda _: registry)
    return registry


@pytest.fixture
def bucket(monkeypatch, tmp_path, database_url, registry) -> LocalBucket:
    """Two versions with bundles; the first is published."""
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path))
    monkeypatch.setenv("BRAIN_DATABASE__URL", database_url)
    monkeypatch.setenv("COLUMNS", "200")
    bucket = LocalBucket(tmp_path / "bucket")
    for version in registry.tags:
        upload_bundle(bucket, version)
    promote(bucket, "1")
    return bucket


def run(*arguments: str) -> str:
    result = CliRunner().invoke(model_commands.model_commands, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_versions_are_listed_with_figures_aliases_and_what_is_published(bucket):
    told = run("list")
    assert "0.910 (0.880 to 0.930)" in told
    assert "champion" in told
    assert "Published: version 1, since " in told
    assert "by test." in told


def test_the_list_is_json_with_null_for_what_is_not_known(bucket, registry):
    registry.tags["2"]["decision"] = "kept the champion"
    newest, oldest = json.loads(run("list", "--json"))
    assert (newest["version"], newest["macro_f1"], newest["peak_in_box"]) == ("2", 0.91, None)
    assert newest["decision"] == "kept the champion"
    assert newest["created_at"].startswith("20")
    assert oldest["aliases"] == "champion"


def test_before_the_first_model_the_list_says_what_to_do(bucket, registry):
    registry.tags.clear()
    assert "brain up" in run("list")
    assert json.loads(run("list", "--json")) == []


def test_a_version_is_shown_with_its_decision_rule_by_rule(bucket):
    write_json(bucket, model_key("2", "decision.json"), DECISION)
    told = run("show", "2")
    assert "The champion 1 stays: provenance" in told
    assert "sample against public" in told
    assert "pixels" in told
    found = json.loads(run("show", "2", "--json"))
    assert found["decision_record"] == DECISION
    assert found["manifest"]["version"] == "2"
    assert not found["is_published"]
    assert json.loads(run("show", "1", "--json"))["is_published"]
    assert "The published champion" in run("show", "1")


def test_a_version_without_bundle_and_decision_can_be_shown(bucket):
    bucket.delete(model_key("2", "manifest.json"))
    assert "none: it cannot be the champion" in run("show", "2")
    found = json.loads(run("show", "2", "--json"))
    assert (found["manifest"], found["decision_record"]) == (None, None)


@pytest.mark.parametrize("command", ["show", "promote"])
def test_an_unknown_version_is_refused(bucket, command):
    with pytest.raises(VersionRefused, match="MLflow has no version '9'"):
        run(command, "9")


def test_promoting_moves_alias_and_pointer_and_says_so(bucket, registry):
    told = run("promote", "2")
    assert "Version 2 is the champion now instead of 1. Serving follows within seconds." in told
    assert "synthetic sample" in told
    pointer = read_champion(bucket)
    assert (pointer.version, registry.aliases["champion"]) == ("2", "2")
    assert pointer.promoted_by.startswith("brain models promote, by ")


def test_rolling_back_is_promoting_the_older_one(bucket):
    run("promote", "2")
    run("promote", "1")
    assert read_champion(bucket).version == "1"


def test_promoting_the_champion_changes_nothing(bucket):
    before = read_champion(bucket)
    assert "Version 1 is the champion already." in run("promote", "1")
    assert read_champion(bucket) == before


def test_a_version_without_a_bundle_is_refused(bucket):
    bucket.delete(model_key("2", "manifest.json"))
    with pytest.raises(VersionRefused, match="Version 2 cannot be the champion"):
        run("promote", "2")
    assert read_champion(bucket).version == "1"


def test_without_a_database_promoting_says_what_to_set(bucket, monkeypatch):
    monkeypatch.delenv("BRAIN_DATABASE__URL")
    with pytest.raises(SettingsError, match="BRAIN_DATABASE__URL is not set"):
        run("promote", "2")


def test_mlflow_away_is_a_sentence_and_exit_code_1(bucket, registry, monkeypatch, capsys):
    registry.is_away = True
    for command in (["list"], ["list", "--json"], ["show", "1"], ["promote", "2"]):
        monkeypatch.setattr(sys, "argv", ["brain", "models", *command])
        with pytest.raises(SystemExit) as caught:
            main.main()
        captured = capsys.readouterr()
        assert caught.value.code == 1
        assert captured.err.strip() == "MLflow is away."
        assert captured.out == ""


def test_a_rollback_names_the_champion_before_and_the_next_one_the_one_before_that(bucket, registry):
    upload_bundle(bucket, "3")
    registry.tags["3"] = {}
    for version in ("2", "3"):
        run("promote", version)
    assert "Version 2 is the champion again, instead of 3." in run("rollback")
    assert (read_champion(bucket).version, registry.aliases["champion"]) == ("2", "2")
    assert "Version 1 is the champion again, instead of 2." in run("rollback")
    with pytest.raises(VersionRefused, match="no champion to go back to"):
        run("rollback")
    assert read_champion(bucket).version == "1"


def test_a_rollback_passes_over_a_champion_whose_bundle_is_gone(bucket, registry):
    upload_bundle(bucket, "3")
    registry.tags["3"] = {}
    for version in ("2", "3"):
        run("promote", version)
    bucket.delete(model_key("2", "model.onnx"))
    assert "Version 1 is the champion again" in run("rollback")
