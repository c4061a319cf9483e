"""`brain up` with the model that comes with the package: it answers before anything is built, and stays."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_assets.asset_store import AssetStore, read_table
from brain_assets.ml.pretrained import PROMOTED_BY, has_pretrained
from brain_assets.ml.records import PromotionRecord
from brain_cli.build import verify
from brain_core.bundle import SPLIT_FILE, load_manifest, read_champion
from brain_core.errors import ApiError, BrainError, ObjectNotFound
from brain_core.storage import model_key
from tests.fixtures_platform import BRAIN, BUILD_TIMEOUT_S, RunningPlatform, eventually, platform_environment

pytestmark = pytest.mark.skipif(not has_pretrained(), reason="this checkout comes without a bundled model")
IMAGES_A_CLASS = 10


@pytest.fixture(scope="module")
def platform() -> Iterator[RunningPlatform]:
    """`brain up` that has just begun; its first champion is the model that comes with the package."""
    with tempfile.TemporaryDirectory(prefix="brain-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        ports, environment = platform_environment(Path(folder))
        del environment["BRAIN_MODEL__BUNDLED"]
        log = Path(folder) / "output.txt"
        with log.open("wb") as output:
            process = subprocess.Popen([BRAIN, "up"], env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield RunningPlatform(Path(folder), ports, environment, process)
        finally:
            process.terminate()
            process.wait(90)


def answers(platform: RunningPlatform) -> bool:
    assert platform.process.poll() is None, (platform.home / "output.txt").read_text()
    try:
        return bool(platform.api.model().version)
    except BrainError:
        return False


def decision(platform: RunningPlatform) -> PromotionRecord | None:
    assert platform.process.poll() is None, (platform.home / "output.txt").read_text()
    try:
        return AssetStore(platform.bucket).read("promotion", PromotionRecord)
    except ObjectNotFound:
        return None


def answered_class(platform: RunningPlatform, image: bytes) -> str:
    """What the API says: a class, or that it is none of a brain MRI."""
    try:
        return platform.api.predict(image, consent=True).predicted_class
    except ApiError as exc:
        if exc.status != 422:
            raise
        return "refused"


def test_it_answers_before_anything_was_built(platform):
    eventually(lambda: answers(platform), 240, "an API with a model")
    champion = read_champion(platform.bucket)
    assert champion.promoted_by == PROMOTED_BY
    assert platform.api.model().version == champion.version
    assert load_manifest(platform.bucket, champion.version).provenance.source == "public"
    assert decision(platform) is None


@pytest.mark.real_data
def test_it_is_right_about_images_that_it_was_not_trained_on(platform):
    eventually(lambda: answers(platform), 240, "an API with a model")
    source = Path(os.environ["BRAIN_TEST_DATA"]) / "brain-tumor-mri"
    split = read_table(platform.bucket, model_key(read_champion(platform.bucket).version, SPLIT_FILE))
    held_out = split[split["part"] == "test"].groupby("label").sample(IMAGES_A_CLASS, random_state=0)
    told = [answered_class(platform, (source / key.removeprefix("data/")).read_bytes()) for key in held_out["key"]]
    assert (np.array(told) == held_out["label"]).mean() >= 0.8


def test_a_model_of_the_synthetic_sample_does_not_replace_it(platform):
    record = eventually(lambda: decision(platform), BUILD_TIMEOUT_S, "a decision")
    champion = read_champion(platform.bucket)
    assert (record.champion_before, record.decision.is_promoted) == (champion.version, False)
    assert champion.promoted_by == PROMOTED_BY
    assert [rule.passed for rule in record.decision.rules if rule.name == "provenance"] == [False]


def test_everything_is_built_and_verified_with_it(platform):
    eventually(lambda: not verify(platform.dagster), BUILD_TIMEOUT_S, "all assets")
    profile = AssetStore(platform.bucket).read("reference_profile", pd.DataFrame)
    assert len(profile) > 0
