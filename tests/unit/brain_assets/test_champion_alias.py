"""The sensor that lets the published champion follow MLflow's alias, on a real PostgreSQL."""

import json

import dagster as dg
import pytest

from brain_assets.defs.champion_alias import champion_alias_sensor
from brain_assets.resources import BucketResource, DatabaseResource, RegistryResource
from brain_core.bundle import read_champion
from brain_core.storage import LocalBucket, model_key
from tests.fixtures_bundle import promote, upload_bundle
from tests.fixtures_registry import MemoryRegistry


class Registry(RegistryResource):
    """MLflow in memory."""

    def open(self):
        return REGISTRIES[self.uri]


REGISTRIES: dict[str, MemoryRegistry] = {}


@pytest.fixture
def registry(tmp_path) -> MemoryRegistry:
    """Two versions; the first is chosen."""
    registry = REGISTRIES[str(tmp_path)] = MemoryRegistry("1", "2")
    registry.set_alias("champion", "1")
    return registry


@pytest.fixture
def bucket(tmp_path, registry) -> LocalBucket:
    """Holds both; the first is published."""
    bucket = LocalBucket(tmp_path / "bucket")
    for version in registry.tags:
        upload_bundle(bucket, version)
    promote(bucket, "1")
    return bucket


@pytest.fixture
def look(monkeypatch, tmp_path, database_url, bucket):
    """One tick of the sensor after another, as the daemon gives it back its cursor."""
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BRAIN_DATABASE__URL", database_url)
    resources = {
        "bucket": BucketResource(uri=str(bucket.root), inference_uri=str(bucket.root)),
        "database": DatabaseResource(),
        "registry": Registry(uri=str(tmp_path), timeout_s=1),
    }
    kept: dict[str, str | None] = {"cursor": None}

    def tick() -> dg.SensorResult:
        with dg.build_sensor_context(resources=resources, cursor=kept["cursor"]) as context:
            result = champion_alias_sensor(context)
        kept["cursor"] = result.cursor
        return result

    return tick


def reason(result: dg.SensorResult) -> str:
    return str(result.skip_reason.skip_message)


def events(tmp_path) -> list[dict]:
    spool = (tmp_path / "home" / "spool").glob("*.ndjson")
    told = [json.loads(line) for path in spool for line in path.read_text().splitlines()]
    return [event for event in told if event.get("event", {}).get("action") == "follow-champion-alias"]


def test_nothing_happens_while_the_alias_names_the_published_champion(look, bucket):
    before = bucket.read("models/champion.json")
    for _ in range(3):
        result = look()
        assert "is the one that the alias names" in reason(result)
        assert result.asset_events == []
    assert bucket.read("models/champion.json") == before


def test_a_version_that_somebody_chose_is_published_and_told_once(look, registry, bucket, tmp_path):
    registry.set_alias("champion", "2")
    result = look()
    assert reason(result) == "Version 2 is the champion now, as the MLflow alias says."
    (event,) = result.asset_events
    assert (event.asset_key, event.metadata["version"].value) == (dg.AssetKey("promotion"), "2")
    assert read_champion(bucket).version == "2"
    assert look().asset_events == []
    assert [event["event"]["outcome"] for event in events(tmp_path)] == ["success"]


def test_a_version_without_a_bundle_is_an_error_once_and_a_reason_at_every_look(look, registry, bucket, tmp_path):
    bucket.delete(model_key("2", "manifest.json"))
    registry.set_alias("champion", "2")
    first, second = look(), look()
    assert "the published champion stays. Version 2 cannot be the champion." in reason(first)
    assert reason(second) == reason(first)
    assert (len(first.asset_events), second.asset_events) == (1, [])
    assert [event["event"]["outcome"] for event in events(tmp_path)] == ["failure"]
    assert read_champion(bucket).version == "1"


def test_mlflow_being_away_for_a_while_does_not_tell_the_same_error_again(look, registry, bucket, tmp_path):
    bucket.delete(model_key("2", "manifest.json"))
    registry.set_alias("champion", "2")
    look()
    registry.is_away = True
    assert reason(look()) == "Tried again later: MLflow is away."
    registry.is_away = False
    assert look().asset_events == []
    assert len(events(tmp_path)) == 1


def test_a_refused_version_that_is_chosen_again_later_is_told_again(look, registry, bucket, tmp_path):
    bucket.delete(model_key("2", "manifest.json"))
    for version in ("2", "1", "2"):
        registry.set_alias("champion", version)
        look()
    assert len(events(tmp_path)) == 2


def test_as_soon_as_the_bundle_is_there_the_choice_is_followed(look, registry, bucket):
    manifest = bucket.read(model_key("2", "manifest.json"))
    bucket.delete(model_key("2", "manifest.json"))
    registry.set_alias("champion", "2")
    look()
    bucket.write(model_key("2", "manifest.json"), manifest)
    assert "Version 2 is the champion now" in reason(look())


def test_with_mlflow_away_it_is_tried_again_later(look, registry):
    registry.is_away = True
    result = look()
    assert reason(result) == "Tried again later: MLflow is away."
    assert result.asset_events == []


def test_with_postgres_away_the_champion_stays(look, registry, bucket, monkeypatch, tmp_path):
    monkeypatch.setenv("BRAIN_DATABASE__URL", f"postgresql://postgres@/brain?host={tmp_path}")
    registry.set_alias("champion", "2")
    assert "Tried again later: PostgreSQL is away" in reason(look())
    assert read_champion(bucket).version == "1"


def test_an_alias_that_names_nothing_leaves_the_champion(look, registry, bucket):
    del registry.aliases["champion"]
    look()
    assert read_champion(bucket).version == "1"
