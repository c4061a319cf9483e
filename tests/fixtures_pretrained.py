"""A folder as the one that comes with the package, with the tiny model of `fixtures_bundle` in it."""

import json
from pathlib import Path

import pytest

from brain_assets.ml.export import WEIGHTS_FILE
from brain_assets.ml.pretrained import MODEL_CARD_FILE
from brain_assets.ml.publishing import BUNDLE_FOLDER
from brain_core.bundle import MANIFEST_FILE, sha256
from brain_core.storage import LocalBucket, model_key
from tests.fixtures_bundle import upload_bundle

FIGURE = {"value": 0.93, "low": 0.91, "high": 0.95}
METRICS = {
    "images": 900,
    "groups": 700,
    "accuracy": FIGURE,
    "macro_f1": FIGURE,
    "balanced_accuracy": FIGURE,
    "ece": {"value": 0.02, "low": 0.01, "high": 0.03},
    "by_class": {"glioma": {"recall": FIGURE, "precision": None, "images": 200}},
    "confusion": [[1, 0], [0, 1]],
}


def write_pretrained(folder: Path, **changes: object) -> Path:
    """Write `bundle/` and the model card below `folder`; `changes` replace entries of the manifest."""
    shelf = LocalBucket(folder / "shelf")
    upload_bundle(shelf, "shipped")
    bundle = shelf.root / model_key("shipped", "")
    weights = b"weights"
    (bundle / WEIGHTS_FILE).write_bytes(weights)
    manifest = json.loads((bundle / MANIFEST_FILE).read_bytes())
    manifest["sha256"][WEIGHTS_FILE] = sha256(weights)
    manifest |= {"provenance": {"source": "public", "feedback": False}, "metrics": METRICS, **changes}
    (bundle / MANIFEST_FILE).write_text(json.dumps(manifest))
    bundle.rename(folder / BUNDLE_FOLDER)
    (folder / MODEL_CARD_FILE).write_text("# Model card\n")
    return folder


@pytest.fixture
def pretrained_folder(tmp_path: Path) -> Path:
    """A folder that `read_pretrained` takes."""
    folder = tmp_path / "pretrained"
    folder.mkdir()
    return write_pretrained(folder)
