"""The sensor of the shadow mode: off by default, and what it says."""

from contextlib import contextmanager

import dagster as dg
import pytest
from sqlalchemy import create_engine

from brain_assets.defs.shadowing import shadow_sensor_for
from brain_assets.resources import BucketResource, DatabaseResource, RegistryResource
from brain_core.errors import RegistryError
from brain_core.settings import load_settings
from tests.fixtures_registry import MemoryRegistry

REGISTRY = MemoryRegistry("1", "2")


class Registry(RegistryResource):
    """MLflow in memory."""

    def open(self):
        return REGISTRY


@pytest.fixture
def look(tmp_path, database_url):
    """One look of the sensor."""
    REGISTRY.__init__("1", "2")

    class Database(DatabaseResource):
        @contextmanager
        def engine(self):
            engine = create_engine(database_url)
            yield engine
            engine.dispose()

    def run(is_on: bool = True) -> dg.SensorResult:
        sensor = shadow_sensor_for(load_settings(model={"shadow": is_on}))
        bucket = BucketResource(uri=str(tmp_path), inference_uri=str(tmp_path))
        resources = {"bucket": bucket, "database": Database(), "registry": Registry(uri="", timeout_s=1)}
        result = sensor(dg.build_sensor_context(resources=resources))
        assert isinstance(result, dg.SensorResult)
        return result

    return run


def reason(result: dg.SensorResult) -> str:
    return str(result.skip_reason.skip_message)


def test_it_is_off_unless_a_setting_says_otherwise(look):
    assert not load_settings().model.shadow
    assert "BRAIN_MODEL__SHADOW" in reason(look(is_on=False))


def test_without_a_challenger_there_is_nothing_to_do(look):
    assert reason(look()) == "There is no challenger."


def test_a_challenger_that_answered_nothing_yet_says_so(look):
    REGISTRY.aliases["challenger"] = "2"
    result = look()
    assert reason(result) == "Challenger 2: the champion's class on none yet of 0 uploads."
    assert result.asset_events == []


def test_mlflow_away_is_a_reason_and_no_failure(look):
    REGISTRY.is_away = True
    assert reason(look()).startswith("Tried again later: MLflow is away.")
    with pytest.raises(RegistryError):
        REGISTRY.alias_version("challenger")
