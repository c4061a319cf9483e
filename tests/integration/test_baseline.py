"""The replaced system's network as its asset makes it, with a real MLflow."""

from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from brain_assets.asset_store import ImageSet
from brain_assets.defs.baseline import baseline_model
from brain_assets.metadata import SYNTHETIC
from brain_assets.ml.metrics_table import BASELINE, metrics_table
from brain_assets.ml.registry import ModelRegistry
from brain_assets.resources import BucketResource, RegistryResource
from brain_core.labels import CLASSES
from tests.fixtures_evaluation import known_images
from tests.fixtures_model import textures


def images(count: int, first: int = 0) -> ImageSet:
    pixels, labels = textures(count, seed=first)
    keys = np.array([f"data/{first + index}.png" for index in range(count)])
    return ImageSet(pixels, labels, np.arange(count), keys)


def given(name: str, value: Any) -> dg.AssetsDefinition:
    @dg.asset(name=name)
    def asset() -> Any:
        return value

    return asset


@pytest.fixture
def materialised(bucket, mlflow_url) -> dg.ExecuteInProcessResult:
    train, test = images(4), images(8, first=100)
    known = known_images(test)
    table = pd.DataFrame({"key": train.keys, "label": [CLASSES[label] for label in train.labels]})
    table = table.assign(part="train", source="sample", origin="source", weight=1.0, pixel_sha256=train.keys)
    inputs = {
        "training_set": table,
        "augmented_dataset": train,
        "transformed_test_set": test,
        "dataset_splits": known.splits,
        "image_manifest": known.manifest,
        "annotations": known.annotations,
    }
    return dg.materialize(
        [baseline_model, *(given(name, value) for name, value in inputs.items())],
        resources={
            "io_manager": dg.mem_io_manager,
            "bucket": BucketResource(uri=str(bucket.root), inference_uri=str(bucket.root)),
            "registry": RegistryResource(uri=mlflow_url, timeout_s=30),
        },
        run_config={"ops": {"baseline_model": {"config": {"epochs": 1}}}},
    )


def test_the_baseline_is_trained_judged_and_stands_in_the_table_but_is_no_version(materialised, mlflow_url):
    registry = ModelRegistry(mlflow_url, timeout_s=30)
    evaluated = materialised.output_for_node("baseline_model")
    (event,) = materialised.asset_materializations_for_node("baseline_model")
    assert event.metadata["source"].value.startswith(SYNTHETIC)
    assert event.metadata["published_split_accuracy"].value == "not assessed"
    run = registry._client.get_run(evaluated.run_id)
    assert (run.info.status, run.data.params["architecture"]) == ("FINISHED", "original_cnn")
    assert run.data.metrics["test_accuracy"] == pytest.approx(evaluated.metrics.accuracy.value)
    assert {"loss", "accuracy"} <= set(run.data.metrics)
    assert "evaluation/confusion.png" in {
        file.path for file in registry._client.list_artifacts(run.info.run_id, "evaluation")
    }
    row = metrics_table(registry).iloc[-1]
    assert (row["version"], row["accuracy"]) == (BASELINE, pytest.approx(evaluated.metrics.accuracy.value))
    assert evaluated.run_id not in {version.run.run_id for version in registry.versions() if version.run}
    assert evaluated.metrics.localisation == {}
