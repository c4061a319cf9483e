import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from brain_assets.ml import evaluation_report
from brain_assets.ml.export import WEIGHTS_FILE
from brain_assets.ml.pretrained import (
    CARD_FOLDER,
    MODEL_CARD_FILE,
    PRETRAINED_FOLDER,
    has_pretrained,
    read_pretrained,
)
from brain_assets.ml.publishing import BUNDLE_FOLDER
from brain_core.bundle import CONTENT_FILES, MANIFEST_FILE, MODEL_FILE, folder_files, load_files, sha256
from brain_core.errors import BundleError
from tests.fixtures_pretrained import write_pretrained

ROOT = Path(__file__).resolve().parents[3]
ADVICE = r"Install the package again, or set BRAIN_MODEL__BUNDLED=false\.$"
needs_bundle = pytest.mark.skipif(not has_pretrained(), reason="this checkout comes without a bundled model")


def test_a_folder_without_a_bundle_is_told_and_is_an_error_to_read(tmp_path):
    assert not has_pretrained(tmp_path)
    with pytest.raises(BundleError, match=rf"cannot be used\. There is no bundle .*manifest\.json.* {ADVICE}"):
        read_pretrained(tmp_path)


def test_a_whole_bundle_is_read_with_its_weights_and_its_card(pretrained_folder):
    assert has_pretrained(pretrained_folder)
    model = read_pretrained(pretrained_folder)
    assert set(model.contents) == {*CONTENT_FILES, WEIGHTS_FILE}
    assert model.manifest.provenance.source == "public"
    assert model.model_card.startswith(b"# Model card")


@pytest.mark.parametrize("name", [*CONTENT_FILES, WEIGHTS_FILE])
def test_an_altered_file_and_a_missing_one_are_named(pretrained_folder, name):
    path = pretrained_folder / BUNDLE_FOLDER / name
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(BundleError, match=rf"{name} of the bundle .*sha256 differs.* {ADVICE}"):
        read_pretrained(pretrained_folder)
    path.unlink()
    with pytest.raises(BundleError, match=rf"lacks {name}.* {ADVICE}"):
        read_pretrained(pretrained_folder)


def test_weights_that_the_manifest_does_not_name_are_an_error(pretrained_folder):
    model = read_pretrained(pretrained_folder)
    without = {name: value for name, value in model.manifest.sha256.items() if name != WEIGHTS_FILE}
    changed = model.manifest.model_copy(update={"sha256": without})
    (pretrained_folder / BUNDLE_FOLDER / MANIFEST_FILE).write_text(changed.model_dump_json())
    with pytest.raises(BundleError, match=rf"{WEIGHTS_FILE} of the bundle"):
        read_pretrained(pretrained_folder)


def test_a_missing_model_card_is_an_error(pretrained_folder):
    (pretrained_folder / MODEL_CARD_FILE).unlink()
    with pytest.raises(BundleError, match=rf"A file is missing: .*{MODEL_CARD_FILE}.* {ADVICE}"):
        read_pretrained(pretrained_folder)


def test_a_bundle_of_a_newer_version_is_refused(tmp_path):
    with pytest.raises(BundleError, match=rf"schema 99.* {ADVICE}"):
        read_pretrained(write_pretrained(tmp_path, schema_version=99))


def test_another_version_changes_the_manifest_and_nothing_else(pretrained_folder, tmp_path):
    model = read_pretrained(pretrained_folder)
    for name, data in model.files("7").items():
        (tmp_path / name).write_bytes(data)
    loaded = load_files(folder_files(tmp_path))
    assert loaded.manifest == model.manifest.model_copy(update={"version": "7"})
    assert loaded.manifest.sha256[MODEL_FILE] == sha256(model.contents[MODEL_FILE])


def test_the_fingerprint_tells_models_apart(pretrained_folder, tmp_path):
    (tmp_path / "other").mkdir()
    other = write_pretrained(tmp_path / "other", data_version="another")
    fingerprint = read_pretrained(pretrained_folder).fingerprint
    assert fingerprint == read_pretrained(pretrained_folder).fingerprint
    assert fingerprint != read_pretrained(other).fingerprint


def test_metrics_that_are_no_figures_are_refused(tmp_path):
    with pytest.raises(BundleError, match=rf"metrics in its manifest\.json are not figures(.|\n)*{ADVICE}"):
        read_pretrained(write_pretrained(tmp_path, metrics={"accuracy": 0.9}))


def test_the_card_lies_where_a_training_keeps_its_own():
    assert (CARD_FOLDER, MODEL_CARD_FILE) == (evaluation_report.FOLDER, evaluation_report.CARD_FILE)


def test_reading_it_needs_no_training_library(pretrained_folder):
    code = (
        "import pathlib, sys; from brain_assets.ml.pretrained import read_pretrained; "
        "read_pretrained(pathlib.Path(sys.argv[1])); print({'tensorflow', 'keras', 'dagster'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(pretrained_folder)]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_the_wheel_carries_every_file_of_the_folder(tmp_path):
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    carried = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("brain_assets/pretrained/")}
    there = {str(path.relative_to(ROOT)) for path in PRETRAINED_FOLDER.rglob("*") if path.is_file()}
    assert carried == there


@needs_bundle
def test_the_bundled_model_is_whole_answers_and_is_not_of_the_sample():
    model = read_pretrained()
    bundle = load_files(folder_files(PRETRAINED_FOLDER / BUNDLE_FOLDER))
    size = model.manifest.input_size
    (answer,) = bundle.predict(np.zeros((1, size, size, 1), np.uint8))
    assert float(answer.probabilities.sum()) == pytest.approx(1.0, abs=1e-4)
    assert model.manifest.provenance.source == "public"


@needs_bundle
def test_the_bundled_model_stays_small():
    sizes = {path: path.stat().st_size for path in (PRETRAINED_FOLDER / BUNDLE_FOLDER).iterdir()}
    assert sum(sizes.values()) <= 15e6
