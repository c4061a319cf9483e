"""Train, judge, bundle, decide and publish, with a real MLflow, PostgreSQL and bucket, on a few drawn textures."""

import pandas as pd
import pytest
from sqlalchemy import create_engine

from brain_assets.ml import bundling, deciding, evaluation, evaluation_report, tracking
from brain_assets.ml.datasets import image_set, training_data, training_table
from brain_assets.ml.export import WEIGHTS_FILE
from brain_assets.ml.image_facts import KnownImages
from brain_assets.ml.judging import PromotionInputs, judge
from brain_assets.ml.metrics_table import metrics_table
from brain_assets.ml.model_card import split_sizes
from brain_assets.ml.policy import Decision
from brain_assets.ml.publishing import Stores
from brain_assets.ml.records import PromotionRecord
from brain_assets.ml.registry import CHALLENGER, CHAMPION, ModelRegistry
from brain_assets.ml.statistics import image_statistics
from brain_assets.ml.training_data import TrainingConfig
from brain_core.bundle import CONTENT_FILES, GOLDEN_FILE, load_bundle, read_champion, sha256
from brain_core.imaging import encode_png
from brain_core.labels import CLASSES
from brain_core.storage import LocalBucket, model_key
from tests.fixtures_bundle import tiny_gate
from tests.fixtures_model import textures

COUNT = 48
PUBLISHED = ["Training"] * 20 + ["Testing"] * 28
"""Four images that are trained on, the validation and the test images."""

NO_FEEDBACK = pd.DataFrame({"key": [], "label": [], "pixel_sha256": [], "is_used": []}).astype({"is_used": bool})


@pytest.fixture(scope="module")
def bucket(tmp_path_factory) -> LocalBucket:
    return LocalBucket(tmp_path_factory.mktemp("lifecycle"))


@pytest.fixture(scope="module")
def splits(bucket) -> pd.DataFrame:
    images, labels = textures(COUNT, seed=5, size=128)
    keys = [f"data/{index:03}.png" for index in range(COUNT)]
    for key, image in zip(keys, images, strict=True):
        bucket.write(key, encode_png(image[..., 0]))
    parts = ["train"] * 24 + ["validation"] * 8 + ["test"] * 16
    names = [CLASSES[label] for label in labels]
    return pd.DataFrame(
        {"key": keys, "label": names, "group": range(COUNT), "part": parts, "is_representative": True, "source": "own"}
    )


@pytest.fixture(scope="module")
def statistics(bucket, splits) -> pd.DataFrame:
    return image_statistics(bucket, splits.assign(decodes=True))


@pytest.fixture(scope="module")
def registry(mlflow_url) -> ModelRegistry:
    return ModelRegistry(mlflow_url, timeout_s=30)


@pytest.fixture(scope="module")
def inputs(bucket, splits, statistics, registry) -> bundling.BundleInputs:
    table = training_table(splits, NO_FEEDBACK)
    train, validation = (image_set(table[table["part"] == part], bucket, bucket) for part in ("train", "validation"))
    said: list[str] = []
    with registry.run("training", {}) as run:
        config = TrainingConfig(architecture="compact_cnn", epochs=1, min_steps=1, batch_size=8)
        data = training_data(train, validation)
        training = tracking.TrackedTraining(data, config, tracking.table_version(table), None, bucket)
        trained = tracking.train_tracked(run, training, said.append)
    assert said[0].startswith("epochs: 1 of 1, accuracy")
    record = tracking.trained_record(run, trained, table, training)
    test = image_set(splits[splits["part"] == "test"].assign(origin="source"), bucket, bucket)
    manifest = splits[["key"]].assign(published_split=PUBLISHED)
    known = KnownImages(splits, manifest, pd.DataFrame({"key": []}))
    judged, answers = evaluation.evaluate_model(record, trained.weights, test, known, bucket)
    files = evaluation_report.evaluation_files(answers, record, split_sizes(splits))
    evaluation_report.log_evaluation(registry.existing_run(record.run_id), answers, files)
    return bundling.BundleInputs(record, trained.weights, judged, test, statistics, splits, tiny_gate())


@pytest.fixture(scope="module")
def bundle(inputs, registry, bucket):
    return bundling.make_bundle(inputs, registry, bucket)


@pytest.fixture
def engine(database_url):
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


def promoted(version: str, is_promoted: bool) -> PromotionRecord:
    return PromotionRecord(
        version=version, champion_before=None, decision=Decision(is_promoted=is_promoted, reason="", rules=[])
    )


def what_is_decided(bundle, inputs) -> PromotionInputs:
    return PromotionInputs(bundle, inputs.test, inputs.splits, inputs.statistics)


def test_the_record_says_what_was_trained_on(inputs):
    assert inputs.model.provenance.source == "own"
    assert not inputs.model.provenance.feedback
    assert inputs.model.started_from is None
    assert len(inputs.model.history) == 1
    assert inputs.evaluation.metrics.images == 16


def test_the_evaluation_lies_in_the_run_of_the_training(inputs, registry):
    run = registry._client.get_run(inputs.model.run_id)
    figures = inputs.evaluation.metrics
    assert run.data.metrics["test_accuracy"] == pytest.approx(figures.accuracy.value)
    assert run.data.metrics["test_mirror_consistency"] == figures.mirror.consistency.value == 1
    kept = {file.path for file in registry._client.list_artifacts(inputs.model.run_id, "evaluation")}
    assert {"evaluation/model-card.md", "evaluation/calibration.png", "evaluation/maps-glioma.png"} <= kept
    assert figures.published_split.images == 28
    assert figures.published_split.trained_share == pytest.approx(12 / 28)


def test_the_version_stands_in_the_metrics_table_with_its_figures(bundle, inputs, registry):
    row = metrics_table(registry).set_index("version").loc[bundle.version]
    assert row["accuracy"] == pytest.approx(inputs.evaluation.metrics.accuracy.value)
    assert row["architecture"] == "compact_cnn"


def test_the_bundle_is_whole_equals_keras_and_answers(bundle, bucket, inputs):
    assert bundle.parity < 1e-4
    loaded = load_bundle(bucket, bundle.version)
    answers = loaded.predict(inputs.test.images)
    assert len(answers) == 16
    assert loaded.manifest.architecture == "compact_cnn"
    assert set(CONTENT_FILES) | {WEIGHTS_FILE, GOLDEN_FILE} == set(loaded.manifest.sha256)
    loaded.check_golden()


def test_the_bundle_lies_among_the_runs_artifacts(bundle, registry):
    names = {item.path for item in registry._client.list_artifacts(bundle.run_id, bundling.BUNDLE_FOLDER)}
    assert {"bundle/model.onnx", "bundle/manifest.json"} <= names


def test_a_promoted_version_is_published_and_a_tie_keeps_it(bundle, inputs, registry, bucket, engine):
    stores = Stores(engine, registry, bucket)
    first = deciding.decide_promotion(what_is_decided(bundle, inputs), bucket)
    assert first.champion_before is None
    assert (first.test_groups, first.left_out_groups) == (16, 0)
    assert "test groups (16; at least 20)" in first.decision.reason
    deciding.apply_decision(promoted(bundle.version, True), "run-1", stores)
    pointer = read_champion(bucket)
    assert pointer.version == bundle.version == registry.alias_version(CHAMPION)
    assert pointer.sha256 == sha256(bucket.read(model_key(bundle.version, "manifest.json")))
    again = bundling.make_bundle(inputs, registry, bucket)
    tie = deciding.settle_promotion(what_is_decided(again, inputs), NO_FEEDBACK, "run-2", stores)
    assert tie.champion_before == bundle.version
    assert not tie.decision.is_promoted
    assert "better on the frozen test" in tie.decision.reason
    assert read_champion(bucket).version == bundle.version
    assert registry.alias_version(CHALLENGER) == again.version
    kept = registry.files(again.run_id, f"decision/{again.version}")["decision.json"]
    assert PromotionRecord.model_validate_json(kept) == tie
    row = metrics_table(registry).set_index("version").loc[again.version]
    assert row["decision"] == "kept the champion"


def test_images_that_the_champion_was_trained_on_do_not_judge(bundle, inputs, bucket):
    everything = image_set(inputs.splits.assign(origin="source"), bucket, bucket)
    all_test = inputs.splits.assign(part="test")
    judged = judge(PromotionInputs(bundle, everything, all_test, inputs.statistics), [bundle.version], bucket)
    assert len(judged.evidence.test) == 16
    assert judged.left_out_groups == COUNT - 16


def test_only_a_retraining_with_corrections_starts_from_the_champion(bundle, inputs, registry, bucket, engine):
    deciding.apply_decision(promoted(bundle.version, True), "run-3", Stores(engine, registry, bucket))
    corrected = pd.DataFrame({"key": ["data/000.png"], "label": ["glioma"], "pixel_sha256": ["ff"], "is_used": [True]})
    plain, with_feedback = (training_table(inputs.splits, feedback) for feedback in (NO_FEEDBACK, corrected))
    assert tracking.starting_point(bucket, plain, "compact_cnn") is None
    assert tracking.starting_point(bucket, with_feedback, "another") is None
    start = tracking.starting_point(bucket, with_feedback, "compact_cnn")
    assert start is not None
    assert (start.version, start.weights) == (bundle.version, inputs.weights)
