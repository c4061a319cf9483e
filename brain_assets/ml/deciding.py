"""From a new bundle to a decision, and from the decision to the published champion."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Engine

from brain_assets.asset_store import ImageSet
from brain_assets.ml.earlier_splits import known_images
from brain_assets.ml.export import predict_in_batches
from brain_assets.ml.feedback import corrections_of
from brain_assets.ml.promotion import Candidate, PromotionPolicy, TestImages, decide
from brain_assets.ml.publishing import publish_champion
from brain_assets.ml.records import PromotionRecord, RegisteredBundle
from brain_assets.ml.registry import CHALLENGER, ModelRegistry
from brain_assets.ml.tracking import champion_manifest
from brain_core.bundle import Manifest, load_bundle, load_manifest
from brain_core.corrections import CorrectionStore
from brain_core.storage import Bucket


def decide_promotion(
    bundle: RegisteredBundle, test: ImageSet, statistics: pd.DataFrame, bucket: Bucket
) -> PromotionRecord:
    """Compare a new bundle with the champion on the test images that the champion was not trained on."""
    champion = champion_manifest(bucket)
    fair = np.ones(len(test), bool) if champion is None else _unseen_by(champion, test, statistics, bucket)
    images = TestImages(test.labels[fair], test.groups[fair])
    challenger = _candidate(load_manifest(bucket, bundle.version), test.images[fair], bucket)
    rival = _candidate(champion, test.images[fair], bucket) if champion else None
    decision = decide(challenger, rival, images, PromotionPolicy())
    before = champion.version if champion else None
    return PromotionRecord(version=bundle.version, champion_before=before, decision=decision)


def _candidate(manifest: Manifest, images: NDArray[np.uint8], bucket: Bucket) -> Candidate:
    session: Any = load_bundle(bucket, manifest.version, threads=2).session
    return Candidate(manifest.version, manifest.provenance.source, predict_in_batches(session, images)[0])


def _unseen_by(manifest: Manifest, test: ImageSet, statistics: pd.DataFrame, bucket: Bucket) -> NDArray[np.bool_]:
    split = known_images(bucket, manifest.version)
    seen = set(split.loc[split["part"] != "test", "pixel_sha256"])
    hashes = statistics.set_index("key")["pixel_sha256"].loc[list(test.keys)]
    return ~hashes.isin(seen).to_numpy()


Stores = tuple[Engine, ModelRegistry, Bucket]
"""Where a decision is kept: database, MLflow, data bucket."""


def apply_decision(record: PromotionRecord, feedback: pd.DataFrame, run_id: str, stores: Stores) -> None:
    """Publish a promoted version, mark the other as challenger, claim the corrections that were there.

    Raises:
        DatabaseError, RegistryError, StorageError: that store is away; the decision can be applied again.
    """
    engine, registry, bucket = stores
    if record.decision.is_promoted:
        publish_champion(engine, registry, bucket, record.version, promoted_by=f"dagster run {run_id}")
    else:
        registry.set_alias(CHALLENGER, record.version)
    if len(feedback):
        claimed = corrections_of(feedback)
        CorrectionStore(engine).claim(run_id, record.version, record.decision.is_promoted, claimed)
