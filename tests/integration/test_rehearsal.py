"""On the synthetic sample: poisoned feedback never makes a worse champion, good feedback makes a better one.

The functions of the assets, without their servers; see `rehearsal`.
"""

from pathlib import Path

import numpy as np
import pytest

from brain_assets.ml.annotations import annotate, read_annotations
from brain_assets.ml.augmentation import AugmentationConfig
from brain_assets.ml.datasets import image_set
from brain_assets.ml.duplicates import find_duplicates
from brain_assets.ml.feedback import SOURCE_DISAGREES
from brain_assets.ml.ingestion import ingest
from brain_assets.ml.records import PromotionRecord
from brain_assets.ml.rehearsal import NO_FEEDBACK, Recipe, Rehearsal, Upload
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

NO_COPIES = AugmentationConfig(copies=0)
SMALL = {"epochs": 1, "batch_size": 8, "variation": 0.25}
FIRST = Recipe(config_for("sample", **SMALL, min_steps=100), augmentation=NO_COPIES)
AGAIN = Recipe(config_for("sample", **SMALL, is_retraining=True, min_steps=60), augmentation=NO_COPIES)


@pytest.fixture(scope="module")
def installation(tmp_path_factory) -> Rehearsal:
    """A sample with a third of its groups to judge and a quarter to calibrate on, without a champion."""
    bucket = LocalBucket(Path(tmp_path_factory.mktemp("loop")))
    # Of seed 0, one image to calibrate on is told wrongly with full conviction: it alone would make models too unsure.
    source = SampleSource(count=520, seed=1)
    manifest = ingest(source, bucket, source.list())
    statistics = image_statistics(bucket, manifest)
    annotations = annotate(manifest, read_annotations(source.annotations())).table
    images = statistics[["key", "label", "pixel_sha256"]]
    splits = assign_splits(find_duplicates(statistics).groups, images, (0.4, 0.25, 0.35))
    splits = splits.merge(manifest[["key", "source"]], on="key").merge(images[["key", "pixel_sha256"]], on="key")
    test = image_set(splits[splits["part"] == "test"].assign(origin="source"), bucket, bucket, annotations)
    return Rehearsal(bucket, splits, statistics, annotations, test, tiny_gate())


@pytest.fixture(scope="module")
def champion(installation) -> Rehearsal:
    """Version `whole` knows the whole training part."""
    installation.make("whole", FIRST, NO_FEEDBACK)
    return installation


def poisoned(wrong_share: float) -> list[Upload]:
    """New slices, of which this share carries a false class."""
    source, rng = SampleSource(count=COUNT, seed=7), np.random.default_rng(0)
    wrong = set(rng.permutation(COUNT)[: round(wrong_share * COUNT)].tolist())
    uploads = []
    for number, image in enumerate(source.list()):
        others = [name for name in CLASSES if name != image.label]
        label = str(rng.choice(others)) if number in wrong else image.label
        uploads.append(Upload(source.read(image), label))
    return uploads


def macro_f1(record: PromotionRecord) -> tuple[float, float]:
    figure = next(figure for figure in record.decision.figures if figure.name == "macro-F1")
    assert figure.challenger is not None
    assert figure.champion is not None
    return figure.challenger, figure.champion


@pytest.mark.parametrize("wrong_share", [1.0, 0.3])
def test_poisoned_feedback_never_makes_a_worse_model_the_champion(champion, wrong_share):
    champion.publish("whole")
    feedback = champion.corrected(poisoned(wrong_share))
    assert 30 < feedback["is_used"].sum() < COUNT
    record = champion.retrain(f"poisoned-{wrong_share}", AGAIN, feedback)
    challenger, before = macro_f1(record)
    assert not (record.decision.is_promoted and challenger < before), record.decision.reason
    expected = f"poisoned-{wrong_share}" if record.decision.is_promoted else "whole"
    assert read_champion(champion.bucket).version == expected


def test_poison_on_copies_of_training_images_is_not_even_learned(champion):
    keys = champion.splits.loc[champion.splits["part"] == "train", "key"].head(20)
    labels = champion.splits.set_index("key").loc[keys, "label"]
    uploads = [
        Upload(champion.bucket.read(key), next(name for name in CLASSES if name != label))
        for key, label in zip(keys, labels, strict=True)
    ]
    feedback = champion.corrected(uploads)
    assert set(feedback["reason"]) == {SOURCE_DISAGREES}
    assert not feedback["is_used"].any()


def test_feedback_about_a_class_that_the_champion_hardly_knows_makes_a_better_champion(installation):
    splits = installation.splits
    own = splits.loc[(splits["label"] == STARVED) & (splits["part"] == "train"), "key"]
    starved = installation.without(set(own[KEPT:]))
    starved.first_model("starved", FIRST)
    later = [Upload(installation.bucket.read(key), STARVED) for key in own[KEPT : KEPT + COUNT]]
    record = starved.retrain("fed", AGAIN, starved.corrected(later))
    challenger, before = macro_f1(record)
    assert challenger > before
    assert record.decision.is_promoted, record.decision.reason
    assert read_champion(starved.bucket).version == "fed"
