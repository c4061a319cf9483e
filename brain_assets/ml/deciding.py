"""From a new bundle to a decision, and from the decision to the published champion."""

import json

import pandas as pd

from brain_assets.ml.feedback import corrections_of
from brain_assets.ml.judging import PromotionInputs, judge
from brain_assets.ml.metrics_table import DECISION_TAG
from brain_assets.ml.policy import Decision
from brain_assets.ml.promotion import decide
from brain_assets.ml.publishing import (
    ChampionChanged,
    Stores,
    VersionRefused,
    follow_alias,
    published_version,
    replace_champion,
)
from brain_assets.ml.records import PromotionRecord, RegisteredBundle
from brain_assets.ml.registry import CHALLENGER, ModelRegistry
from brain_core.corrections import CorrectionStore, Retraining
from brain_core.errors import ObjectNotFound
from brain_core.storage import Bucket, model_key

DECISION_FILE = "decision.json"
"""Beside the bundle's files; what was decided about a version last."""

MAX_DECISIONS = 3
"""So often a decision is made again because the champion changed meanwhile."""

PROMOTED, KEPT = "promoted", "kept the champion"
MAX_REASON_LENGTH = 1000
"""Of the tag in MLflow; the whole reason is in the file."""


def settle_promotion(
    inputs: PromotionInputs, corrections: pd.DataFrame, run_id: str, stores: Stores
) -> PromotionRecord:
    """Decide, claim the corrections that were there, publish a promoted version, keep the decision.

    The claim commits the retraining: from then on its corrections count no more, and whatever ends this process, the
    decision is carried out, here or by `finish_retrainings`. Safe to repeat after a fault in any step. When the
    champion changes between decision and publication, the decision is made again against the new one.

    Args:
        inputs: what is decided about.
        corrections: as `feedback.correction_table` makes it: what the model may have been trained on.
        run_id: of the Dagster run.
        stores: database, MLflow, data bucket.

    Raises:
        BundleError: the new model or the champion has no whole bundle.
        DatabaseError, RegistryError, StorageError: that store is away; it can be tried again.
    """
    for _ in range(MAX_DECISIONS):
        _follow_what_was_chosen(stores)
        record = decide_promotion(inputs, stores.bucket)
        _claim(record, run_id, corrections, stores)
        try:
            apply_decision(record, run_id, stores)
        except ChampionChanged as exc:
            record = _overtaken(record, exc)
            continue
        break
    else:
        apply_decision(record, run_id, stores)
    keep_in_mlflow(record, inputs.bundle, stores.registry)
    CorrectionStore(stores.engine).settle(run_id, record.decision.is_promoted)
    return record


def finish_retrainings(stores: Stores) -> list[str]:
    """Carry out the decisions of retrainings whose process ended between the claim and the end.

    Returns:
        A sentence for each, the oldest first.

    Raises:
        DatabaseError, RegistryError, StorageError: that store is away; it can be tried again.
    """
    store = CorrectionStore(stores.engine)
    told = []
    for retraining in store.unsettled():
        is_promoted, sentence = _carried_out(retraining, stores)
        store.settle(retraining.run_id, is_promoted)
        told.append(sentence)
    return told


def _claim(record: PromotionRecord, run_id: str, corrections: pd.DataFrame, stores: Stores) -> None:
    if len(corrections):
        retraining = Retraining(run_id, record.version, record.decision.is_promoted, record.champion_before)
        CorrectionStore(stores.engine).claim(retraining, corrections_of(corrections))


def _carried_out(retraining: Retraining, stores: Stores) -> tuple[bool, str]:
    version, run_id = retraining.model_version, retraining.run_id
    if not retraining.is_promoted:
        stores.registry.set_version_tags(version, {DECISION_TAG: KEPT})
        return False, f"The champion stays, as run {run_id} decided about version {version}."
    try:
        replace_champion(stores, version, retraining.champion_before, promoted_by=f"dagster run {run_id}")
    except (ChampionChanged, VersionRefused) as exc:
        return False, f"Version {version} of run {run_id} is not published: {exc}"
    stores.registry.set_version_tags(version, {DECISION_TAG: PROMOTED})
    return True, f"Version {version} is the champion now, as run {run_id} decided."


def decide_promotion(inputs: PromotionInputs, bucket: Bucket) -> PromotionRecord:
    """Compare a new bundle with the champion on the test groups that neither of them was trained on.

    Raises:
        BundleError: one of them has no whole bundle.
        StorageError: the bucket is away.
    """
    version, champion = inputs.bundle.version, published_version(bucket)
    if version == champion:
        return _decided_before(version, bucket)
    judged = judge(inputs, [version, champion] if champion else [version], bucket)
    challenger, *former = judged.candidates
    return PromotionRecord(
        version=version,
        champion_before=champion,
        decision=decide(challenger, former[0] if former else None, judged.evidence),
        test_groups=len(judged.evidence.test),
        left_out_groups=judged.left_out_groups,
        feedback_images=len(judged.evidence.feedback or ()),
    )


def apply_decision(record: PromotionRecord, run_id: str, stores: Stores) -> None:
    """Keep the decision in the bucket; publish a promoted version, else mark it as the challenger.

    Raises:
        ChampionChanged: the decision was made against another champion than there is now; nothing was published.
        VersionRefused: see `publishing.publish_champion`.
        DatabaseError, RegistryError, StorageError: that store is away; the decision can be applied again.
    """
    content = {**record.model_dump(mode="json"), "run_id": run_id}
    stores.bucket.write(model_key(record.version, DECISION_FILE), json.dumps(content, indent=2).encode())
    if record.decision.is_promoted:
        replace_champion(stores, record.version, record.champion_before, promoted_by=f"dagster run {run_id}")
    elif record.version != published_version(stores.bucket):
        stores.registry.set_alias(CHALLENGER, record.version)


def keep_in_mlflow(record: PromotionRecord, bundle: RegisteredBundle, registry: ModelRegistry) -> None:
    """Keep the decision as tags of the version and as a file among the artifacts of its run.

    Raises:
        RegistryError: MLflow is away.
    """
    told = PROMOTED if record.decision.is_promoted else KEPT
    reason = record.decision.reason[:MAX_REASON_LENGTH]
    registry.set_version_tags(record.version, {DECISION_TAG: told, "decision_reason": reason})
    file = {DECISION_FILE: record.model_dump_json(indent=2).encode()}
    registry.existing_run(bundle.run_id).log_files(file, f"decision/{record.version}")


def _follow_what_was_chosen(stores: Stores) -> None:
    """What somebody chose in MLflow is published first, so that the new model is compared with it."""
    try:
        follow_alias(stores)
    except VersionRefused:
        # It cannot be the champion; the sensor says so. The decision does not wait for it.
        return


def _overtaken(record: PromotionRecord, reason: ChampionChanged) -> PromotionRecord:
    """What is kept when the champion changes every time that a decision is made."""
    kept = Decision(
        is_promoted=False,
        reason=f"{reason} The champion changed {MAX_DECISIONS} times; materialise `promotion` again.",
        rules=record.decision.rules,
        figures=record.decision.figures,
    )
    return record.model_copy(update={"decision": kept})


def _decided_before(version: str, bucket: Bucket) -> PromotionRecord:
    """The decision that made a version the champion, when the same is asked again after an interruption."""
    try:
        found = PromotionRecord.model_validate_json(bucket.read(model_key(version, DECISION_FILE)))
    except (ObjectNotFound, ValueError):
        found = None
    if found is not None and found.decision.is_promoted:
        return found
    reason = f"Version {version} is the champion already: a model never replaces itself."
    return PromotionRecord(
        version=version, champion_before=version, decision=Decision(is_promoted=False, reason=reason, rules=[])
    )
