"""Promotions that people asked for, on a real PostgreSQL."""

import dagster as dg
import pytest

from brain_assets.defs.promotion_requests import promotion_request_sensor
from brain_assets.ml.promotion_requests import carry_out_requests
from brain_assets.ml.publishing import Stores
from brain_assets.resources import BucketResource, DatabaseResource, RegistryResource
from brain_core.bundle import read_champion
from brain_core.database import open_engine
from brain_core.errors import RegistryError
from brain_core.promotion_requests import PromotionQueue
from brain_core.storage import LocalBucket, model_key
from tests.fixtures_bundle import promote, upload_bundle
from tests.fixtures_registry import MemoryRegistry

REGISTRIES: dict[str, MemoryRegistry] = {}


class Registry(RegistryResource):
    """MLflow in memory."""

    def open(self):
        return REGISTRIES[self.uri]


@pytest.fixture
def registry(tmp_path) -> MemoryRegistry:
    registry = REGISTRIES[str(tmp_path)] = MemoryRegistry("1", "2", "3")
    registry.set_alias("champion", "2")
    return registry


@pytest.fixture
def bucket(tmp_path, registry) -> LocalBucket:
    """Holds three versions; the second is published."""
    bucket = LocalBucket(tmp_path / "bucket")
    for version in registry.tags:
        upload_bundle(bucket, version)
    promote(bucket, "2")
    return bucket


@pytest.fixture
def engine(database_url):
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def queue(engine):
    return PromotionQueue(engine)


@pytest.fixture
def stores(engine, registry, bucket):
    return Stores(engine, registry, bucket)


@pytest.fixture
def look(monkeypatch, tmp_path, database_url, bucket):
    """One tick of the sensor."""
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BRAIN_DATABASE__URL", database_url)
    resources = {
        "bucket": BucketResource(uri=str(bucket.root), inference_uri=str(bucket.root)),
        "database": DatabaseResource(),
        "registry": Registry(uri=str(tmp_path), timeout_s=1),
    }

    def tick() -> dg.SensorResult:
        with dg.build_sensor_context(resources=resources) as context:
            return promotion_request_sensor(context)

    return tick


def outcome(queue):
    return [(request.model_version, request.state) for request in queue.newest()]


def test_a_request_is_carried_out_once(stores, queue, registry, bucket):
    queue.add("3", "reviewer")
    assert carry_out_requests(stores) == ["Version 3 is the champion now instead of 2. reviewer asked for it."]
    pointer = read_champion(bucket)
    assert (pointer.version, pointer.promoted_by) == ("3", "request of reviewer")
    assert registry.aliases["champion"] == "3"
    assert carry_out_requests(stores) == []
    (request,) = queue.newest()
    assert (request.state, request.attempts, request.message) == (
        "done",
        1,
        "Version 3 is the champion now instead of 2.",
    )


def test_an_older_version_is_the_way_back(stores, queue, bucket):
    for version in ("3", "1"):
        queue.add(version, "reviewer")
    assert len(carry_out_requests(stores)) == 2
    assert read_champion(bucket).version == "1"


def test_what_is_refused_says_why_and_takes_no_other_with_it(stores, queue, bucket):
    bucket.delete(model_key("1", "manifest.json"))
    for version in ("1", "9", "3"):
        queue.add(version, "reviewer")
    carry_out_requests(stores)
    assert outcome(queue) == [("3", "done"), ("9", "refused"), ("1", "refused")]
    assert "MLflow has no version" in queue.newest()[1].message
    assert read_champion(bucket).version == "3"


def test_while_mlflow_is_away_the_request_waits_and_says_so(stores, queue, registry, bucket):
    queue.add("3", "reviewer")
    registry.is_away = True
    with pytest.raises(RegistryError):
        carry_out_requests(stores)
    (request,) = queue.newest()
    assert (request.state, request.attempts, request.message) == ("queued", 1, "Tried again later: MLflow is away.")
    registry.is_away = False
    carry_out_requests(stores)
    assert read_champion(bucket).version == "3"


@pytest.mark.parametrize("step", ["set_alias", "set_version_tags"])
def test_a_crash_in_the_middle_is_mended_by_the_next_look(stores, queue, registry, bucket, step):
    queue.add("3", "reviewer")

    def crash(name):
        if name == step:
            raise KeyboardInterrupt

    registry.before = crash
    with pytest.raises(KeyboardInterrupt):
        carry_out_requests(stores)
    registry.before = lambda _: None
    carry_out_requests(stores)
    assert read_champion(bucket).version == "3"
    assert outcome(queue) == [("3", "done")]


def test_asked_twice_while_it_waits_is_one_request(queue, stores):
    first, again = queue.add("3", "reviewer"), queue.add("3", "another")
    assert (again.id, again.requested_by, queue.depth()) == (first.id, "reviewer", 1)
    carry_out_requests(stores)
    assert queue.add("3", "another").id != first.id


def test_the_sensor_carries_out_what_waits_and_tells_it(look, queue, bucket):
    assert look().skip_reason.skip_message == "Nobody asks for another champion."
    queue.add("3", "reviewer")
    result = look()
    assert "Version 3 is the champion now" in result.skip_reason.skip_message
    assert [event.asset_key for event in result.asset_events] == [dg.AssetKey("promotion")]
    assert read_champion(bucket).version == "3"


def test_the_sensor_waits_for_a_part_that_is_away(look, queue, registry):
    queue.add("3", "reviewer")
    registry.is_away = True
    assert look().skip_reason.skip_message == "Tried again later: MLflow is away."
    assert queue.depth() == 1
