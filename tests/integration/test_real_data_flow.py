"""The data half of the graph on real MRI: a twelfth of the public data set, with its annotations beside it."""

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from brain_assets.asset_store import AssetStore, ImageSet
from tests.fixtures_images import real_subset
from tests.integration.test_data_flow import DATA_ASSETS, Pipeline, failed_checks, set_environment

__all__ = ["real_subset"]

NO_FEEDBACK = pd.DataFrame({"key": [], "label": [], "pixel_sha256": [], "is_used": []}).astype({"is_used": bool})

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def built(real_subset, tmp_path_factory) -> Iterator[tuple[Pipeline, dg.ExecuteInProcessResult]]:
    root = tmp_path_factory.mktemp("real-data-flow")
    (root / "source").symlink_to(real_subset._root)
    (root / "annotations.csv").symlink_to(Path(os.environ["BRAIN_TEST_DATA"]) / "annotations.csv")
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        set_environment(patch, root, batch_size=300)
        pipeline = Pipeline(root, instance, batch_size=300)
        pipeline.ingest()
        AssetStore(pipeline.bucket).write("feedback_set", NO_FEEDBACK)
        yield pipeline, pipeline.make(*DATA_ASSETS, "training_set", "augmented_dataset")


def test_the_graph_is_green_down_to_the_data_that_is_trained_on(built):
    pipeline, result = built
    assert result.success
    assert pipeline.manifest()["decodes"].all()
    assert set(pipeline.manifest()["source"]) == {"public"}
    blocking = {"no_duplicate_crosses_a_split", "no_patient_crosses_a_split", "images_decode", "classes_are_known"}
    assert not failed_checks(result) & blocking


def test_what_no_doctor_would_use_and_the_leak_are_warned_of(built):
    assert {"no_shortcut_tells_the_class", "published_split_does_not_leak"} <= failed_checks(built[1])


def test_patients_are_known_and_lie_on_one_side(built):
    _, result = built
    annotations = result.output_for_node("annotations")
    parts = result.output_for_node("dataset_splits").merge(annotations[["key", "patient"]], on="key")
    known = parts.dropna(subset=["patient"])
    assert known["patient"].nunique() > 50
    assert (known.groupby("patient")["part"].nunique() == 1).all()
    assert set(parts["part"]) == {"train", "validation", "test"}


def test_boxes_move_along_into_the_augmented_images(built):
    augmented = AssetStore(built[0].bucket).read("augmented_dataset", ImageSet)
    training = AssetStore(built[0].bucket).read("training_set", pd.DataFrame)
    count = int((training["part"] == "train").sum())
    boxes = augmented.boxes[~np.isnan(augmented.boxes).any(axis=1)]
    assert len(augmented) % count == 0
    assert len(augmented) > count
    assert len(boxes) > count
    assert ((boxes >= 0) & (boxes <= 1)).all()
