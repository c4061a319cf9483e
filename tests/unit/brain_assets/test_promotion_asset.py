"""The asset around the decision: what Dagit and the mails show of it."""

import dagster as dg
import pandas as pd
import pytest

from brain_assets.defs.promotion import promotion
from brain_assets.ml.feedback import COLUMNS
from brain_assets.resources import BucketResource, DatabaseResource, RegistryResource
from brain_core.bundle import read_champion
from brain_core.storage import LocalBucket
from tests.fixtures_bundle import promote
from tests.fixtures_promotion import confused_model, promotion_inputs, upload_model
from tests.fixtures_registry import MemoryRegistry

REGISTRY = MemoryRegistry()


class Registry(RegistryResource):
    """MLflow in memory."""

    def open(self):
        return REGISTRY


@pytest.fixture
def bucket(tmp_path, monkeypatch, database_url) -> LocalBucket:
    """Version 1 is the champion, and wrong about half of the classes; version 2 is right."""
    monkeypatch.setenv("BRAIN_DATABASE__URL", database_url)
    REGISTRY.__init__("1", "2")
    REGISTRY.aliases["champion"] = "1"
    bucket = LocalBucket(tmp_path / "bucket")
    upload_model(bucket, "1", model=confused_model())
    upload_model(bucket, "2")
    promote(bucket, "1")
    return bucket


def materialise(bucket: LocalBucket, version: str) -> dg.MaterializeResult:
    inputs = promotion_inputs(version)
    return promotion(
        dg.build_asset_context(),
        inputs.bundle,
        inputs.test,
        inputs.splits,
        inputs.statistics,
        pd.DataFrame(columns=list(COLUMNS)),
        bucket=BucketResource(uri=str(bucket.root), inference_uri=str(bucket.root)),
        database=DatabaseResource(),
        registry=Registry(uri="", timeout_s=1),
    )


def rows(result: dg.MaterializeResult, name: str) -> list[dict]:
    return [record.data for record in result.metadata[name].records]


def test_a_promotion_shows_the_rules_the_figures_and_all_models(bucket):
    result = materialise(bucket, "2")
    told = result.metadata
    assert (told["decision"], told["version"], told["champion_before"]) == ("promoted", "2", "1")
    assert told["test_groups"] == 60
    assert read_champion(bucket).version == "2" == result.value.version
    assert {
        "rule": "provenance",
        "found": "sample against sample",
        "limit": "synthetic never replaces real",
        "holds": True,
    } in rows(result, "rules")
    (accuracy,) = [row for row in rows(result, "figures") if row["name"] == "accuracy"]
    assert (accuracy["challenger"], accuracy["champion"]) == (1.0, 0.5)
    assert accuracy["difference"].startswith("+0.5000 (+0.")
    newest, oldest = rows(result, "metrics_table")
    assert (newest["version"], newest["aliases"], newest["decision"]) == ("2", "champion", "promoted")
    assert oldest["version"] == "1"


def test_keeping_the_champion_is_a_success_with_its_reason(bucket):
    promote(bucket, "2")
    REGISTRY.aliases["champion"] = "2"
    told = materialise(bucket, "1").metadata
    assert told["decision"] == "kept the champion"
    assert "better on the frozen test" in told["reason"]


def test_a_model_that_is_the_champion_already_has_no_rules_to_show(bucket):
    result = materialise(bucket, "1")
    assert "is the champion already" in result.metadata["reason"]
    assert rows(result, "rules") == rows(result, "figures") == []
