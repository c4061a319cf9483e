"""Each check of the graph on one example that it passes and one that it fails."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import numpy as np
import onnx
import pandas as pd
import pytest
from dagster_shared.serdes import serialize_value
from sqlalchemy import create_engine

from brain_assets.asset_store import ImageSet
from brain_assets.definitions import build_definitions
from brain_assets.defs import bundling, evaluation, feedback, ingestion, monitoring, statistics
from brain_assets.ml.drift import DriftAssessment
from brain_assets.ml.metrics import evaluate
from brain_assets.ml.monitoring import save_drift_run
from brain_assets.ml.records import EvaluatedModel, RegisteredBundle
from brain_assets.resources import BucketResource, DatabaseResource, SourceResource
from brain_core.labels import CLASSES
from brain_core.settings import load_settings
from brain_core.storage import LocalBucket
from tests.fixtures_bundle import SIZE, drawn_slice, tiny_model, upload_bundle

Inputs = dict[str, Any]
Prepared = Callable[[Path, str], Inputs]


class Example(NamedTuple):
    """What a check is given; a function of an empty folder and an empty database where it has to be prepared."""

    check: dg.AssetChecksDefinition
    passing: Inputs | Prepared
    failing: Inputs | Prepared

    @property
    def name(self) -> str:
        return self.check.check_key.name

    @property
    def is_blocking(self) -> bool:
        return self.check.get_spec_for_check_key(self.check.check_key).blocking


def images(*labels: str, **columns: Any) -> pd.DataFrame:
    keys = [f"{index}.jpg" for index in range(len(labels))]
    return pd.DataFrame({"key": keys, "label": labels, "decodes": True, "reason": "", **columns})


def allowing(share: float) -> SourceResource:
    return SourceResource(uri="unused", batch_size=1, max_undecodable_share=share)


def groups(*numbers: int) -> pd.DataFrame:
    keys = [f"{index}.jpg" for index in range(len(numbers))]
    return pd.DataFrame({"key": keys, "group": numbers, "upright_group": numbers})


def splits(*rows: tuple[int, str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["group", "part"])
    return table.assign(key=[f"{index}.jpg" for index in range(len(rows))])


def patients(*names: str | None) -> pd.DataFrame:
    keys = [f"{index}.jpg" for index in range(len(names))]
    return pd.DataFrame({"key": keys, "patient": names, "public_patient": None})


def audited(is_shortcut: bool) -> Inputs:
    return {"shortcut_audit": pd.DataFrame({"shortcut": ["image_size"], "is_shortcut": [is_shortcut]})}


def corrected(*hashes: str) -> Inputs:
    """Corrections, of which all but the first are used, beside a test image `a` and a training image `b`."""
    used = [index > 0 for index in range(len(hashes))]
    parts = ["train" if is_used else None for is_used in used]
    return {
        "feedback_set": pd.DataFrame({"pixel_sha256": hashes, "is_used": used, "part": parts}),
        "current_statistics": pd.DataFrame({"key": ["0.jpg", "1.jpg"], "pixel_sha256": ["a", "b"]}),
        "dataset_splits": splits((0, "test"), (1, "train")),
    }


def told(contradicted: int) -> Inputs:
    """Ten corrections, of which so many contradict another label of the same image."""
    against = [int(index < contradicted) for index in range(10)]
    labels = pd.DataFrame({"prediction_id": range(10), "label": "glioma", "votes": 1, "votes_against": against})
    return {"feedback_set": labels.assign(reason=None)}


def evaluated(confidence: float) -> Inputs:
    """A model that is right half of the time."""
    labels = np.arange(40) % 2
    probabilities = np.full((40, 4), (1 - confidence) / 3)
    probabilities[:, 0] = confidence
    return {"model_evaluation": EvaluatedModel(run_id="r", metrics=evaluate(probabilities, labels, np.arange(40)))}


def registered(parity: float = 0.0) -> RegisteredBundle:
    return RegisteredBundle(version="1", run_id="r", parity=parity, gate_threshold=0.8, onnx_mb=1)


def uploaded(root: Path, model: bytes) -> Inputs:
    upload_bundle(LocalBucket(root), "1", model=model)
    pixels = drawn_slice(size=SIZE)[np.newaxis, ..., np.newaxis]
    zeros = np.zeros(1, np.int64)
    return {
        "inference_bundle": registered(),
        "transformed_test_set": ImageSet(pixels, zeros, zeros, np.array(["a"])),
        "bucket": BucketResource(uri=str(root), inference_uri=str(root)),
    }


def without_softmax() -> bytes:
    model = onnx.load_from_string(tiny_model())
    (node,) = [node for node in model.graph.node if node.op_type == "Softmax"]
    node.op_type = "Identity"
    node.ClearField("attribute")
    return bytes(model.SerializeToString())


def drift_runs(database_url: str, *are_drifted: bool | None) -> Inputs:
    engine = create_engine(database_url)
    for is_drifted in are_drifted:
        assessment = DriftAssessment(30, is_drifted is not None, is_drifted, None, {"columns": []}, None)
        save_drift_run(engine, "1", assessment, None)
    engine.dispose()
    return {"database": DatabaseResource()}


EXAMPLES = [
    Example(
        ingestion.source_is_not_empty,
        {"image_manifest": images("glioma")},
        {"image_manifest": images("glioma", decodes=False)},
    ),
    Example(
        ingestion.images_decode,
        {"image_manifest": images("glioma", "glioma", decodes=[True, False]), "source": allowing(0.5)},
        {"image_manifest": images("glioma", "glioma", decodes=[True, False]), "source": allowing(0.4)},
    ),
    Example(
        ingestion.classes_are_known,
        {"image_manifest": images(*CLASSES)},
        {"image_manifest": images(*CLASSES, "metastasis")},
    ),
    Example(
        ingestion.classes_are_balanced,
        {"image_manifest": images(*CLASSES, *["glioma"] * 9)},
        {"image_manifest": images(*CLASSES, *["glioma"] * 10)},
    ),
    Example(
        statistics.copies_agree_on_the_label,
        {"duplicate_groups": groups(0, 0, 1), "image_manifest": images("glioma", "glioma", "notumor")},
        {"duplicate_groups": groups(0, 0, 1), "image_manifest": images("glioma", "notumor", "notumor")},
    ),
    Example(
        statistics.published_split_does_not_leak,
        {
            "duplicate_groups": groups(0, 1, 1),
            "image_manifest": images("glioma", "glioma", "glioma", published_split=["Training", "Testing", "Testing"]),
        },
        {
            "duplicate_groups": groups(0, 0, 1),
            "image_manifest": images("glioma", "glioma", "glioma", published_split=["Training", "Testing", "Testing"]),
        },
    ),
    Example(
        statistics.no_duplicate_crosses_a_split,
        {"dataset_splits": splits((0, "train"), (0, "train"), (1, "test"))},
        {"dataset_splits": splits((0, "train"), (0, "test"), (1, "test"))},
    ),
    Example(
        statistics.no_patient_crosses_a_split,
        {
            "dataset_splits": splits((0, "train"), (1, "train"), (2, "test"), (3, "test")),
            "annotations": patients("p", "p", "q", None),
        },
        {
            "dataset_splits": splits((0, "train"), (1, "test"), (2, "test")),
            "annotations": patients("p", "p", "q"),
        },
    ),
    Example(statistics.no_shortcut_tells_the_class, audited(is_shortcut=False), audited(is_shortcut=True)),
    Example(feedback.no_used_correction_copies_a_test_image, corrected("a", "b", "c"), corrected("b", "a")),
    Example(feedback.readers_agree, told(contradicted=1), told(contradicted=2)),
    Example(evaluation.confidence_is_calibrated, evaluated(0.52), evaluated(0.9)),
    Example(
        bundling.onnx_equals_keras,
        {"inference_bundle": registered(parity=1e-6)},
        {"inference_bundle": registered(parity=1e-3)},
    ),
    Example(
        bundling.bundle_verifies,
        lambda root, _: uploaded(root, tiny_model()),
        lambda root, _: uploaded(root, without_softmax()),
    ),
    Example(
        monitoring.recent_predictions_do_not_drift,
        lambda _, url: drift_runs(url, None),
        lambda _, url: drift_runs(url, True),
    ),
]

each_check = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)


@pytest.fixture
def result_of(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dg.AssetCheckResult]:
    """Runs a check on its inputs; what it found can be written down."""
    monkeypatch.setenv("BRAIN_DATABASE__URL", database_url)

    def run(check: dg.AssetChecksDefinition, inputs: Inputs | Prepared) -> dg.AssetCheckResult:
        result = check(**(inputs(tmp_path, database_url) if callable(inputs) else inputs))
        serialize_value(dict(result.metadata))
        return result

    return run


def test_every_check_of_the_graph_has_its_examples_here():
    in_graph = build_definitions(load_settings()).resolve_asset_graph().asset_check_keys
    assert sorted(key.name for key in in_graph) == sorted(example.name for example in EXAMPLES)


@each_check
def test_a_check_passes_where_its_claim_holds(example: Example, result_of):
    assert result_of(example.check, example.passing).passed


@each_check
def test_a_check_fails_where_its_claim_does_not_hold_and_blocks_or_warns(example: Example, result_of):
    result = result_of(example.check, example.failing)
    assert not result.passed
    assert example.is_blocking == (result.severity == dg.AssetCheckSeverity.ERROR)


def test_the_leak_of_a_published_split_is_told_in_all_and_by_class():
    manifest = images("glioma", "glioma", "notumor", published_split=["Training", "Testing", "Testing"])
    check = statistics.published_split_does_not_leak
    metadata = check(duplicate_groups=groups(0, 0, 1), image_manifest=manifest).metadata
    assert metadata["leaked_share"].value == 0.5
    by_class = {row.data["label"]: row.data["leaked_share"] for row in metadata["by_class"].records}
    assert by_class == {"glioma": 1.0, "notumor": 0.0, "all": 0.5}


def test_without_a_published_split_there_is_nothing_to_leak():
    manifest = images("glioma", "glioma", published_split="")
    result = statistics.published_split_does_not_leak(duplicate_groups=groups(0, 0), image_manifest=manifest)
    assert result.passed
    assert result.metadata["leaked_share"].value == "not assessed"
