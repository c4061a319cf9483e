"""What the assets that show images say about them in Dagit, and in what is kept for the Data page."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from brain_assets.asset_store import ImageSet
from brain_assets.config import AugmentationParameters, SplitParameters
from brain_assets.defs import bundling, datasets, evaluation, statistics, training
from brain_assets.metadata import SYNTHETIC
from brain_assets.ml import bundling as bundles
from brain_assets.ml import evaluation as evaluations
from brain_assets.ml import gate_fitting, tracking
from brain_assets.ml.leakage_page import REPORT_FILE
from brain_assets.ml.records import EvaluatedModel, RegisteredBundle
from brain_assets.ml.shortcuts import shortcut_plot
from brain_assets.ml.sources import FolderSource
from brain_assets.ml.training import TrainedWeights
from brain_assets.ml.versions import manifest_version
from brain_assets.resources import BucketResource, RegistryResource
from brain_core.data_versions import report_key
from brain_core.imaging import MODEL_SIZE
from brain_core.storage import LocalBucket
from tests.fixtures_bundle import tiny_gate
from tests.fixtures_evaluation import judged_model
from tests.fixtures_images import distinct_jpeg, ingest_all, write_images

BATCH = "batch-1"
PATHS = (
    "Training/glioma/a.jpg",
    "Training/glioma/b.jpg",
    "Training/glioma/c.jpg",
    "Training/notumor/d.jpg",
    "Training/notumor/e.jpg",
    "Testing/glioma/f.jpg",
)
COPY = "Testing/glioma/copy.jpg"
NO_FEEDBACK = pd.DataFrame({"key": [], "label": [], "is_used": [], "pixel_sha256": []}).astype({"is_used": bool})
HISTORY = {"epoch": 1.0, "loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5, "learning_rate": 0.1}


class Run:
    """A run that keeps nothing."""

    run_id = "r"

    def log_metrics(self, metrics: dict[str, float], step: int = 0) -> None: ...

    def log_files(self, files: dict[str, bytes], folder: str) -> None: ...


class Runs:
    """A registry of one run."""

    @contextmanager
    def run(self, name: str, tags: dict[str, str]) -> Iterator[Run]:
        yield Run()

    def existing_run(self, run_id: str) -> Run:
        return Run()

    def versions(self) -> list[Any]:
        return []

    def runs_with_tag(self, name: str, value: str) -> list[Any]:
        return []


class NoRegistry(RegistryResource):
    """No MLflow."""

    def open(self) -> Any:
        return Runs()


class Assets:
    """The values of the first assets, and those of the others as they are asked for."""

    def __init__(self, root: Path) -> None:
        self.bucket = LocalBucket(root / "bucket")
        self.resource = BucketResource(uri=str(self.bucket.root), inference_uri=str(root / "inference"))
        source = write_images(root / "source", PATHS)
        (source / COPY).write_bytes(distinct_jpeg(0, size=48))
        self.raw = ingest_all(FolderSource(source), self.bucket).assign(source="sample", batch=BATCH)
        self.values: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}

    def make(self, asset: dg.AssetsDefinition, **inputs: Any) -> Any:
        result = asset(**inputs)
        name = asset.key.to_user_string()
        self.values[name], self.metadata[name] = result.value, result.metadata
        return result.value

    def make_all_data(self) -> None:
        manifest, bucket = self.raw, {"bucket": self.resource}
        context = dg.build_asset_context(partition_key=BATCH)
        described = self.make(statistics.image_statistics, context=context, raw_images=self.raw, **bucket)
        current = self.make(statistics.current_statistics, image_manifest=manifest, image_statistics=described)
        tables = {"image_manifest": manifest, "current_statistics": current}
        self.make(statistics.histograms, **tables)
        nobody = dict.fromkeys(("patient", "public_patient", "x0", "y0", "x1", "y1"))
        known = {"annotations": manifest[["key"]].assign(**nobody)}
        groups = {"duplicate_groups": self.make(statistics.duplicate_groups, **tables, **known, **bucket)}
        self.make(statistics.shortcut_audit, **tables, **groups, **bucket)
        config = SplitParameters()
        splits = self.make(statistics.dataset_splits, **tables, **groups, **known, **bucket, config=config)
        rows = self.make(datasets.training_set, dataset_splits=splits, feedback_set=NO_FEEDBACK)
        augmentation = AugmentationParameters()
        context = dg.build_asset_context()
        self.make(
            datasets.augmented_dataset, context=context, training_set=rows, **known, **bucket, config=augmentation
        )
        self.make(datasets.transformed_test_set, context=context, dataset_splits=splits, **known, **bucket)


@pytest.fixture(scope="module")
def assets(tmp_path_factory) -> Assets:
    made = Assets(tmp_path_factory.mktemp("assets"))
    made.make_all_data()
    return made


@pytest.mark.parametrize(
    "asset",
    [
        "image_statistics", "current_statistics", "histograms", "duplicate_groups", "dataset_splits", "shortcut_audit",
        "training_set", "augmented_dataset", "transformed_test_set",
    ],
)  # fmt: skip
def test_the_sample_is_called_synthetic_wherever_images_are_shown(assets, asset):
    assert assets.metadata[asset]["source"].startswith(SYNTHETIC)


def given(name: str, value: Any) -> dg.AssetsDefinition:
    @dg.asset(name=name)
    def asset() -> Any:
        return value

    return asset


def test_a_training_its_judgement_and_its_bundle_say_that_the_images_were_synthetic(assets, monkeypatch):
    zeros = np.zeros(2, np.int64)
    images = ImageSet(np.zeros((2, MODEL_SIZE, MODEL_SIZE, 1), np.uint8), zeros, zeros, np.array(["a", "b"]))
    judged = judged_model(assets.bucket, wrong=(0,))
    record = EvaluatedModel(run_id="r", metrics=judged.evaluation)
    bundle = RegisteredBundle(version="1", run_id="r", parity=0, gate_threshold=0.8, onnx_mb=1)
    weights = TrainedWeights(b"weights", "compact_cnn", MODEL_SIZE, 1.0, 0.5, 0.95, [HISTORY])
    monkeypatch.setattr(tracking, "train_tracked", lambda *_: weights)
    monkeypatch.setattr(evaluations, "evaluate_model", lambda *_: (record, judged))
    monkeypatch.setattr(bundles, "make_bundle", lambda *_: bundle)
    tables = {name: assets.values[name] for name in ("training_set", "current_statistics", "dataset_splits")}
    tables |= {"image_manifest": assets.raw, "annotations": assets.raw[["key"]], "feedback_set": NO_FEEDBACK}
    tables["upload_gate"] = tiny_gate()
    inputs = {**tables, "augmented_dataset": images, "transformed_test_set": images}
    made = [training.trained_model, evaluation.model_evaluation, bundling.inference_bundle]
    registry = NoRegistry(uri="unused", timeout_s=1)
    result = dg.materialize(
        [*made, *(given(name, value) for name, value in inputs.items())],
        resources={"io_manager": dg.mem_io_manager, "bucket": assets.resource, "registry": registry},
    )
    for name in ("trained_model", "model_evaluation", "inference_bundle"):
        (event,) = result.asset_materializations_for_node(name)
        assert event.metadata["source"].value.startswith(SYNTHETIC)
    shown = result.asset_materializations_for_node("model_evaluation")[0].metadata
    assert shown["accuracy"].value == judged.evaluation.accuracy.value
    assert shown["published_split_accuracy"].value == "not assessed"
    assert [row.data["version"] for row in shown["models"].records] == ["new"]
    assert {"confusion", "calibration", "maps", "mistakes", "model_card", "by_class", "figures"} <= set(shown)


def test_the_upload_gate_says_where_it_draws_the_line_and_that_the_images_were_synthetic(assets, monkeypatch):
    monkeypatch.setattr(gate_fitting, "build_gate", lambda *_: tiny_gate(threshold=0.25))
    tables = [given(name, assets.values[name]) for name in ("current_statistics", "dataset_splits")]
    result = dg.materialize([bundling.upload_gate, *tables], resources={"io_manager": dg.mem_io_manager})
    (event,) = result.asset_materializations_for_node("upload_gate")
    assert event.metadata["source"].value.startswith(SYNTHETIC)
    assert event.metadata["threshold"].value == 0.25
    assert event.metadata["known_images"].value == len(tiny_gate().known.thumbnails)


def report(assets: Assets) -> str:
    return assets.bucket.read(report_key(manifest_version(assets.raw), REPORT_FILE)).decode()


def test_the_report_about_the_leak_tells_the_split_that_was_made_after_it(assets):
    splits = assets.values["dataset_splits"]
    counts = splits.groupby("part")["component"].nunique()
    assert f"Here {len(PATHS) + 1} images are {len(PATHS)} different slices in" in report(assets)
    assert f"{counts['train']} for train, " in report(assets)


def test_the_report_and_the_plot_of_the_sample_say_that_it_is_synthetic(assets):
    assert SYNTHETIC in report(assets)
    audit = assets.values["shortcut_audit"]
    kept = assets.bucket.read(report_key(manifest_version(assets.raw), "shortcuts.png"))
    assert kept == shortcut_plot(audit, SYNTHETIC) != shortcut_plot(audit)


def test_the_most_frequent_image_sizes_are_told_by_class(assets):
    sizes = assets.metadata["current_statistics"]["sizes"]
    assert [row.data for row in sizes.records] == [
        {"width": 64, "height": 64, "images": 6, "glioma": 4, "notumor": 2},
        {"width": 48, "height": 48, "images": 1, "glioma": 1, "notumor": 0},
    ]


def test_unreadable_images_have_no_size_and_rare_sizes_are_left_out(assets):
    rows = [{"key": f"{width}.jpg", "label": "glioma", "width": width, "height": 9} for width in range(20)]
    manifest = pd.DataFrame(rows).assign(decodes=lambda table: table["width"] > 0, source="own", batch=BATCH)
    described = assets.values["image_statistics"]
    described = pd.concat([described.head(1)] * 19, ignore_index=True).assign(key=manifest["key"][1:].tolist())
    result = statistics.current_statistics(image_manifest=manifest, image_statistics=described)
    sizes = result.metadata["sizes"].records
    assert len(sizes) == statistics.SIZES_SHOWN
    assert sizes[0].data["width"] == 1
