"""On the synthetic sample: poisoned feedback never makes a worse champion, good feedback makes a better one.

The functions of the assets, without their servers; see `rehearsal`.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_assets.ml.annotations import annotate, read_annotations
from brain_assets.ml.augmentation import AugmentationConfig
from brain_assets.ml.duplicates import find_duplicates
from brain_assets.ml.feedback import SOURCE_DISAGREES
from brain_assets.ml.ingestion import ingest
from brain_assets.ml.records import PromotionRecord
from brain_assets.ml.rehearsal import Recipe, Rehearsal, Upload, shown_images
from brain_assets.ml.sources import SampleSource
from brain_assets.ml.splits import assign_splits
from brain_assets.ml.statistics import image_statistics
from brain_assets.ml.training_data import config_for
from brain_core.bundle import read_champion
from brain_core.labels import CLASSES
from brain_core.storage import LocalBucket
from tests.fixtures_bundle import tiny_gate

COUNT = 60
STARVED = "pituitary"
KEPT = 1
"""Training images of the starved class that the first champion has: it needs one."""

INPUT_SIZE = 128
"""Height and width in pixels: less than the product's 160, so that a training takes less time."""

NO_COPIES = AugmentationConfig(copies=0)
SMALL = {"epochs": 1, "batch_size": 8, "variation": 0.25}
FIRST = Recipe(config_for("sample", **SMALL, min_steps=60), augmentation=NO_COPIES)
AGAIN = Recipe(config_for("sample", **SMALL, is_retraining=True, min_steps=40), augmentation=NO_COPIES)
TRUSTING = Recipe(replace(AGAIN.config, min_steps=25), feedback_weight=20.0, augmentation=NO_COPIES)
"""Corrections count as much as the configuration allows: so few false ones would hardly do harm otherwise."""


@pytest.fixture(scope="module")
def installation(tmp_path_factory) -> Rehearsal:
    """A sample with three tenths of its groups to judge and a fifth to calibrate on, without a champion."""
    bucket = LocalBucket(Path(tmp_path_factory.mktemp("loop")))
    # Of seed 0, one image to calibrate on is told wrongly with full conviction: it alone would make models too unsure.
    source = SampleSource(count=400, seed=1)
    manifest = ingest(source, bucket, source.list())
    statistics = image_statistics(bucket, manifest)
    annotations = annotate(manifest, read_annotations(source.annotations())).table
    images = statistics[["key", "label", "pixel_sha256"]]
    splits = assign_splits(find_duplicates(statistics).groups, images, (0.5, 0.2, 0.3))
    splits = splits.merge(manifest[["key", "source"]], on="key").merge(images[["key", "pixel_sha256"]], on="key")
    test = shown_images(splits[splits["part"] == "test"].assign(origin="source"), bucket, annotations, INPUT_SIZE)
    return Rehearsal(bucket, splits, statistics, annotations, test, tiny_gate())


@dataclass(frozen=True)
class Fed:
    """A champion that hardly knew a class, and what became of it: the retraining `fed` on right corrections of it."""

    installation: Rehearsal
    uploads: list[Upload]
    feedback: pd.DataFrame
    record: PromotionRecord


@pytest.fixture(scope="module")
def fed(installation) -> Fed:
    splits = installation.splits
    own = splits.loc[(splits["label"] == STARVED) & (splits["part"] == "train"), "key"]
    starved = installation.without(set(own[KEPT:]))
    starved.first_model("starved", FIRST)
    uploads = [Upload(installation.bucket.read(key), STARVED) for key in own[KEPT : KEPT + COUNT]]
    feedback = starved.corrected(uploads)
    return Fed(starved, uploads, feedback, starved.retrain("fed", AGAIN, feedback))


@pytest.fixture(scope="module")
def new_slices() -> list[Upload]:
    """Slices that no model has seen, with their true classes."""
    source = SampleSource(count=COUNT, seed=7)
    return [Upload(source.read(image), image.label) for image in source.list()]


def poisoned(slices: list[Upload], wrong_share: float) -> list[Upload]:
    """The slices, of which this share carries a false class."""
    rng = np.random.default_rng(0)
    uploads = list(slices)
    for number in rng.permutation(len(slices))[: round(wrong_share * len(slices))]:
        others = [name for name in CLASSES if name != slices[number].label]
        uploads[number] = replace(slices[number], label=str(rng.choice(others)))
    return uploads


def compared(record: PromotionRecord, name: str = "macro-F1") -> tuple[float, float]:
    """A figure of the challenger and of the champion."""
    figure = next(figure for figure in record.decision.figures if figure.name == name)
    assert figure.challenger is not None
    assert figure.champion is not None
    return figure.challenger, figure.champion


def test_feedback_about_a_class_that_the_champion_hardly_knows_makes_a_better_champion(fed):
    for figure in ("macro-F1", f"recall of {STARVED}"):
        challenger, before = compared(fed.record, figure)
        assert challenger > before
    assert fed.record.decision.is_promoted, fed.record.decision.reason
    assert read_champion(fed.installation.bucket).version == "fed"


@pytest.mark.parametrize("wrong_share", [1.0, 0.3])
def test_poisoned_feedback_never_makes_a_worse_model_the_champion(fed, new_slices, wrong_share):
    fed.installation.publish("fed")
    feedback = fed.installation.corrected([*fed.uploads, *poisoned(new_slices, wrong_share)])
    assert 30 < feedback["is_used"].sum() - fed.feedback["is_used"].sum() < COUNT
    version = f"poisoned-{wrong_share}"
    record = fed.installation.retrain(version, TRUSTING, feedback)
    challenger, before = compared(record)
    # The poison works, so that a policy that promoted everything would be found out.
    assert challenger < before or wrong_share < 1
    assert not (record.decision.is_promoted and challenger < before), record.decision.reason
    assert read_champion(fed.installation.bucket).version == (version if record.decision.is_promoted else "fed")


def test_poison_on_copies_of_training_images_is_not_even_learned(installation):
    keys = installation.splits.loc[installation.splits["part"] == "train", "key"].head(20)
    labels = installation.splits.set_index("key").loc[keys, "label"]
    uploads = [
        Upload(installation.bucket.read(key), next(name for name in CLASSES if name != label))
        for key, label in zip(keys, labels, strict=True)
    ]
    feedback = installation.corrected(uploads)
    assert set(feedback["reason"]) == {SOURCE_DISAGREES}
    assert not feedback["is_used"].any()
