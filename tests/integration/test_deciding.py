"""Deciding and applying the decision, on real ONNX models, a real PostgreSQL, and a crash between any two steps."""

import json
from uuid import uuid4

import pandas as pd
import pytest
from sqlalchemy import create_engine, text

from brain_assets.ml import deciding
from brain_assets.ml.deciding import KEPT, PROMOTED, decide_promotion, finish_retrainings, settle_promotion
from brain_assets.ml.feedback import COLUMNS
from brain_assets.ml.publishing import Stores, publish_champion, published_version
from brain_assets.ml.records import PromotionRecord
from brain_assets.ml.registry import CHALLENGER, CHAMPION
from brain_core.bundle import read_champion
from brain_core.errors import BrainError, RegistryError, StorageError
from brain_core.storage import CHAMPION_KEY, LocalBucket, model_key
from tests.fixtures_promotion import confused_model, promotion_inputs, slice_key, upload_model
from tests.fixtures_registry import MemoryRegistry

NO_CORRECTIONS = pd.DataFrame(columns=list(COLUMNS))
CORRECTION = (str(uuid4()), 1, "k", "s", "glioma", "2026-11-01T00:00:00+00:00", None, None)
CORRECTIONS = pd.DataFrame([CORRECTION], columns=list(COLUMNS))
"""Of an upload that was erased meanwhile: the retraining is recorded, nothing is claimed."""


class FailingBucket(LocalBucket):
    """Can fail before a write."""

    fails_at = ""

    def write(self, key: str, data: bytes) -> None:
        if key == self.fails_at:
            raise StorageError("The bucket went away.")
        super().write(key, data)


@pytest.fixture
def engine(database_url):
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def stores(engine, tmp_path) -> Stores:
    """Version 1 is the champion and wrong about half of the classes; versions 2 and 3 are right."""
    stores = Stores(engine, MemoryRegistry("1", "2", "3"), FailingBucket(tmp_path / "bucket"))
    upload_model(stores.bucket, "1", model=confused_model())
    for version in ("2", "3"):
        upload_model(stores.bucket, version)
    publish_champion(*stores, "1", "somebody")
    return stores


def settle(stores: Stores, version: str, corrections: pd.DataFrame = NO_CORRECTIONS) -> PromotionRecord:
    return settle_promotion(promotion_inputs(version), corrections, "r1", stores)


def kept_decision(stores: Stores, version: str) -> dict:
    return json.loads(stores.bucket.read(model_key(version, "decision.json")))


def retrainings(stores: Stores) -> list[tuple]:
    with stores.engine.connect() as connection:
        return [
            tuple(row) for row in connection.execute(text("SELECT run_id, model_version, is_promoted FROM retraining"))
        ]


def test_a_better_model_is_published_and_its_decision_kept_everywhere(stores):
    record = settle(stores, "2", CORRECTIONS)
    assert record.decision.is_promoted, record.decision.reason
    assert (record.champion_before, record.test_groups, record.left_out_groups) == ("1", 60, 0)
    pointer = read_champion(stores.bucket)
    assert (pointer.version, pointer.promoted_by) == ("2", "dagster run r1")
    assert stores.registry.aliases == {CHAMPION: "2"}
    assert stores.registry.tags["2"]["decision"] == PROMOTED
    assert stores.registry.tags["2"]["decision_reason"] == record.decision.reason
    kept = kept_decision(stores, "2")
    assert (kept["run_id"], kept["champion_before"]) == ("r1", "1")
    assert len(kept["decision"]["rules"]) == 16
    assert PromotionRecord.model_validate_json(stores.registry.artifacts["decision/2/decision.json"]) == record
    assert retrainings(stores) == [("r1", "2", True)]


def test_a_model_that_is_not_better_is_the_challenger_and_its_decision_kept(stores):
    publish_champion(*stores, "3", "somebody")
    record = settle(stores, "2")
    assert not record.decision.is_promoted
    assert "better on the frozen test" in record.decision.reason
    assert stores.registry.aliases == {CHAMPION: "3", CHALLENGER: "2"}
    assert stores.registry.tags["2"]["decision"] == KEPT
    assert not kept_decision(stores, "2")["decision"]["is_promoted"]
    assert retrainings(stores) == []


def test_without_a_champion_the_floors_decide(stores):
    stores.bucket.delete(CHAMPION_KEY)
    stores.registry.aliases.clear()
    record = settle(stores, "2")
    assert record.champion_before is None
    assert record.decision.reason == "Version 2 becomes the first champion: every rule holds."
    assert published_version(stores.bucket) == "2"


def test_with_too_few_test_groups_that_no_model_knows_the_champion_stays(stores):
    seen = {f"pixels of {slice_key(index)}": "train" for index in range(20)}
    upload_model(stores.bucket, "3", seen)
    record = settle(stores, "3")
    assert (record.test_groups, record.left_out_groups) == (40, 20)
    assert "common test groups (40: " in record.decision.reason
    assert published_version(stores.bucket) == "1"


STEPS = (
    model_key("2", "decision.json"),
    "set_alias",
    "set_version_tags",
    CHAMPION_KEY,
    "log_files",
    "claim",
    "settle",
)


@pytest.mark.parametrize("step", STEPS)
def test_after_a_crash_in_any_step_the_same_run_again_ends_as_if_nothing_had_happened(stores, step, monkeypatch):
    def fail(name: str) -> None:
        if name == step:
            raise RegistryError("MLflow went away.")

    with monkeypatch.context() as patch:
        patch.setattr(stores.registry, "before", fail)
        patch.setattr(FailingBucket, "fails_at", step)
        if step in ("claim", "settle"):
            patch.setattr(deciding.CorrectionStore, step, lambda *_: fail(step))
        with pytest.raises(BrainError):
            settle(stores, "2", CORRECTIONS)
    record = settle(stores, "2", CORRECTIONS)
    assert record.decision.is_promoted
    assert record.champion_before == "1"
    assert published_version(stores.bucket) == "2"
    assert stores.registry.aliases == {CHAMPION: "2"}
    assert stores.registry.tags["2"]["decision"] == PROMOTED
    assert kept_decision(stores, "2")["decision"]["is_promoted"]
    assert "decision/2/decision.json" in stores.registry.artifacts
    assert retrainings(stores) == [("r1", "2", True)]


AFTER_THE_CLAIM = tuple(step for step in STEPS if step != "claim")


@pytest.mark.parametrize("step", AFTER_THE_CLAIM)
def test_what_a_retraining_decided_is_carried_out_whatever_ended_it_after_its_claim(stores, step, monkeypatch):
    """The run never comes back: nobody but the sensor is left."""

    def fail(name: str) -> None:
        if name == step:
            raise RegistryError("MLflow went away.")

    with monkeypatch.context() as patch:
        patch.setattr(stores.registry, "before", fail)
        patch.setattr(FailingBucket, "fails_at", step)
        if step == "settle":
            patch.setattr(deciding.CorrectionStore, step, lambda *_: fail(step))
        with pytest.raises(BrainError):
            settle(stores, "2", CORRECTIONS)
    assert len(finish_retrainings(stores)) == 1
    assert published_version(stores.bucket) == "2"
    assert stores.registry.aliases == {CHAMPION: "2"}
    assert stores.registry.tags["2"]["decision"] == PROMOTED
    assert retrainings(stores) == [("r1", "2", True)]
    assert finish_retrainings(stores) == []


def test_a_decision_that_was_overtaken_before_it_was_carried_out_is_dropped(stores):
    claim = deciding.CorrectionStore(stores.engine).claim
    claim(deciding.Retraining("r1", "2", True, "1"), [])
    publish_champion(*stores, "3", "somebody")
    (told,) = finish_retrainings(stores)
    assert "Version 3 became the champion" in told
    assert published_version(stores.bucket) == "3"
    assert retrainings(stores) == [("r1", "2", False)]


def test_a_kept_champion_is_kept_whatever_ended_the_run(stores):
    claim = deciding.CorrectionStore(stores.engine).claim
    claim(deciding.Retraining("r1", "2", False, "1"), [])
    assert finish_retrainings(stores) == ["The champion stays, as run r1 decided about version 2."]
    assert published_version(stores.bucket) == "1"
    assert stores.registry.tags["2"]["decision"] == KEPT


def overtake(stores: Stores, monkeypatch: pytest.MonkeyPatch, *versions: str) -> list[str | None]:
    """While each decision is made, publish the next of these versions; gives the champions that were compared with."""
    waiting, against = list(versions), []

    def slowly(inputs, bucket):
        record = decide_promotion(inputs, bucket)
        against.append(record.champion_before)
        if waiting:
            publish_champion(*stores, waiting.pop(0), "somebody quicker")
        return record

    monkeypatch.setattr(deciding, "decide_promotion", slowly)
    return against


def test_when_another_champion_is_published_meanwhile_it_is_decided_again(stores, monkeypatch):
    against = overtake(stores, monkeypatch, "3")
    record = settle(stores, "2")
    assert against == ["1", "3"]
    assert (record.champion_before, record.decision.is_promoted) == ("3", False)
    assert published_version(stores.bucket) == "3"
    assert not kept_decision(stores, "2")["decision"]["is_promoted"]


def test_when_the_champion_changes_every_time_it_is_kept_with_that_reason(stores, monkeypatch):
    for version in ("4", "5", "6"):
        stores.registry.tags[version] = {}
        upload_model(stores.bucket, version, model=confused_model())
    against = overtake(stores, monkeypatch, "4", "5", "6")
    record = settle(stores, "2")
    assert against == ["1", "4", "5"]
    assert not record.decision.is_promoted
    assert "Version 6 became the champion after version 2 was compared" in record.decision.reason
    assert stores.registry.aliases == {CHAMPION: "6", CHALLENGER: "2"}
    assert kept_decision(stores, "2")["decision"]["reason"] == record.decision.reason


def test_what_somebody_chose_in_mlflow_is_what_the_new_model_must_beat(stores):
    stores.registry.set_alias(CHAMPION, "3")
    record = settle(stores, "2")
    assert (record.champion_before, record.decision.is_promoted) == ("3", False)
    assert published_version(stores.bucket) == "3"


def test_a_choice_that_cannot_be_published_is_passed_over(stores):
    stores.registry.tags["9"] = {}
    stores.registry.set_alias(CHAMPION, "9")
    assert settle(stores, "2").decision.is_promoted
    assert stores.registry.aliases[CHAMPION] == "2"


def test_a_champion_that_somebody_promoted_is_not_decided_about_again(stores):
    publish_champion(*stores, "2", "somebody")
    record = settle(stores, "2")
    assert record.decision.reason == "Version 2 is the champion already: a model never replaces itself."
    assert not record.decision.is_promoted
    assert stores.registry.aliases == {CHAMPION: "2"}
    assert read_champion(stores.bucket).promoted_by == "somebody"


def test_a_champion_trained_on_real_images_is_not_replaced_by_a_synthetic_one(stores):
    from brain_core.bundle import load_manifest

    manifest = load_manifest(stores.bucket, "1")
    real = manifest.model_copy(update={"provenance": manifest.provenance.model_copy(update={"source": "public"})})
    stores.bucket.write(model_key("1", "manifest.json"), real.model_dump_json().encode())
    record = settle(stores, "2")
    assert "provenance (sample against public" in record.decision.reason
    assert published_version(stores.bucket) == "1"


def test_mlflow_away_is_an_error_and_the_champion_stays(stores):
    stores.registry.is_away = True
    with pytest.raises(RegistryError):
        settle(stores, "2")
    assert published_version(stores.bucket) == "1"
