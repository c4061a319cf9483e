"""What `kill -9` leaves of a retraining, in a process of its own; and what the next look makes of it."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from brain_assets.ml.deciding import finish_retrainings, settle_promotion
from brain_assets.ml.feedback import correction_table
from brain_assets.ml.publishing import Stores, VersionRefused, follow_alias, publish_champion, published_version
from brain_assets.ml.tracking import CHECKPOINT_KEY, TrackedTraining, train_tracked
from brain_core.corrections import CorrectionStore
from brain_core.predictions import PredictionStore
from brain_core.storage import CHAMPION_KEY, LocalBucket, model_key
from tests.fixtures_model import QUICK, texture_data
from tests.fixtures_promotion import confused_model, promotion_inputs, upload_model
from tests.fixtures_registry import FileRegistry
from tests.integration.test_corrections import corrected

DECIDE = """
import os, signal, sys
from pathlib import Path
from brain_assets.ml.deciding import settle_promotion
from brain_assets.ml.feedback import correction_table
from brain_assets.ml.publishing import Stores
from brain_core.corrections import CorrectionStore
from brain_core.database import open_engine
from brain_core.storage import LocalBucket
from tests.fixtures_promotion import promotion_inputs
from tests.fixtures_registry import FileRegistry

url, root, step = sys.argv[1:]

def reach(name):
    if name == step:
        os.kill(os.getpid(), signal.SIGKILL)

class Bucket(LocalBucket):
    def write(self, key, data):
        reach(key)
        super().write(key, data)

engine, registry = open_engine(url), FileRegistry(Path(root) / "registry.json")
registry.before = reach
corrections = correction_table(CorrectionStore(engine).accepted())
stores = Stores(engine, registry, Bucket(Path(root) / "bucket"))
settle_promotion(promotion_inputs("2"), corrections, "r1", stores)
"""
TRAIN = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from brain_assets.ml.tracking import TrackedTraining, train_tracked
from brain_core.storage import LocalBucket
from tests.fixtures_model import QUICK, texture_data
from tests.integration.test_retraining_faults import Run

training = TrackedTraining(texture_data(32), replace(QUICK, epochs=3), "data-1", None, LocalBucket(Path(sys.argv[1])))
def say(message):
    if message.startswith("epochs: 2 of"):
        os.kill(os.getpid(), signal.SIGKILL)
train_tracked(Run(), training, say)
"""


class Run:
    """An MLflow run that remembers the epochs."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def log_params(self, params) -> None:
        """Keep nothing."""

    def log_metrics(self, metrics, step=0) -> None:
        self.steps.append(step)


def killed(script: str, *arguments: str) -> None:
    """Run a script that kills itself on its way."""
    process = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=300)
    assert process.returncode == -signal.SIGKILL, process.stderr


@pytest.fixture
def stores(database_url, tmp_path) -> Stores:
    """Version 1 is the champion, version 2 is better; two images were corrected."""
    (tmp_path / "registry.json").write_text(json.dumps({"aliases": {}, "tags": {"1": {}, "2": {}}}))
    engine = create_engine(database_url)
    stores = Stores(engine, FileRegistry(tmp_path / "registry.json"), LocalBucket(tmp_path / "bucket"))
    upload_model(stores.bucket, "1", model=confused_model())
    upload_model(stores.bucket, "2")
    publish_champion(*stores, "1", "somebody")
    for sha256 in ("aa", "bb"):
        corrected(PredictionStore(engine), sha256)
    return stores


def waiting(stores: Stores) -> int:
    return CorrectionStore(stores.engine).waiting().images


def kill_at(stores: Stores, step: str, database_url: str) -> None:
    root = stores.bucket.root.parent
    killed(DECIDE, database_url, str(root), step)


def test_a_kill_before_the_claim_loses_nothing(stores, database_url, monkeypatch):
    script = DECIDE.replace("def reach", "CorrectionStore.claim = lambda *_: reach('claim')\n\ndef reach")
    killed(script, database_url, str(stores.bucket.root.parent), "claim")
    assert (waiting(stores), published_version(stores.bucket)) == (2, "1")
    assert finish_retrainings(stores) == []
    corrections = correction_table(CorrectionStore(stores.engine).accepted())
    assert settle_promotion(promotion_inputs("2"), corrections, "r2", stores).decision.is_promoted
    assert waiting(stores) == 0


@pytest.mark.parametrize("step", [model_key("2", "decision.json"), "set_alias", CHAMPION_KEY, "log_files"])
def test_a_kill_between_claim_publication_and_alias_repeats_nothing_and_ends_as_decided(stores, database_url, step):
    kill_at(stores, step, database_url)
    assert waiting(stores) == 0
    assert len(finish_retrainings(stores)) == 1
    assert follow_alias(stores) is None
    assert published_version(stores.bucket) == stores.registry.alias_version("champion") == "2"
    assert finish_retrainings(stores) == []


def test_a_version_that_was_registered_and_never_uploaded_changes_nothing(stores):
    stores.registry.register_bare("9")
    assert finish_retrainings(stores) == []
    assert (waiting(stores), published_version(stores.bucket)) == (2, "1")
    with pytest.raises(VersionRefused):
        publish_champion(*stores, "9", "somebody")


def test_a_training_that_was_killed_goes_on_with_the_next_epoch(tmp_path: Path):
    killed(TRAIN, str(tmp_path))
    bucket = LocalBucket(tmp_path)
    assert bucket.exists(CHECKPOINT_KEY)

    training = TrackedTraining(texture_data(32), replace(QUICK, epochs=3), "data-1", None, bucket)
    said: list[str] = []
    train_tracked(Run(), training, said.append)
    assert [message.split(",")[0] for message in said] == ["epochs: 3 of 3"]
    assert not bucket.exists(CHECKPOINT_KEY)
