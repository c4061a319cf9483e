import json
from pathlib import Path

import numpy as np
import pytest

from brain_cli import offline
from brain_cli.image_files import Unreadable
from brain_cli.offline import RECORD_FIELDS, JudgedFile, OfflineModel, bundled_folder, open_model
from brain_core.errors import BundleError, ImageTooLarge, ModelUnavailable
from brain_core.imaging import decode
from brain_core.labels import CLASSES
from brain_core.settings import load_settings
from tests.fixtures_bundle import CLASS_BRIGHTNESS, photograph_jpeg, slice_jpeg
from tests.fixtures_offline import bundle_folder


@pytest.fixture
def model(tmp_path) -> OfflineModel:
    return open_model(load_settings(), bundle_folder(tmp_path / "bundles"))


@pytest.fixture
def scan(tmp_path) -> str:
    (tmp_path / "scan.jpg").write_bytes(slice_jpeg("pituitary"))
    return str(tmp_path / "scan.jpg")


@pytest.fixture
def bundled(monkeypatch, tmp_path) -> Path:
    """A bundle in the place of the one that comes with the product."""
    folder = bundle_folder(tmp_path / "product", "9")
    monkeypatch.setattr(offline, "bundled_folder", lambda: folder)
    return folder


def settings_of(bucket, **others):
    return load_settings(bucket={"uri": str(bucket.root)}, **others)


def test_a_named_folder_comes_before_the_champion(champion_bucket, tmp_path):
    folder = bundle_folder(tmp_path / "bundles", "7")
    model = open_model(settings_of(champion_bucket), folder)
    assert model.title == f"Model: version 7, of the folder {folder}."


def test_the_champion_comes_before_the_bundled_model(champion_bucket, bundled):
    assert open_model(settings_of(champion_bucket)).title == (
        f"Model: version 1, the champion of {champion_bucket.root}."
    )


def test_without_a_champion_the_bundled_model_answers(bucket, bundled):
    title = open_model(settings_of(bucket)).title
    assert title == f"Model: version 9, bundled with the product, since {bucket.root} has no champion."


def test_a_bundled_model_that_the_settings_leave_out_does_not_answer(bucket, bundled):
    with pytest.raises(ModelUnavailable):
        open_model(settings_of(bucket, model={"bundled": False}))


def test_without_any_model_the_message_says_what_to_do(bucket, monkeypatch, tmp_path):
    monkeypatch.setattr(offline, "bundled_folder", lambda: tmp_path / "nothing")
    with pytest.raises(ModelUnavailable, match="--bundle DIR"):
        open_model(settings_of(bucket))


def test_the_bundled_model_lies_in_the_package():
    assert bundled_folder().parts[-3:] == ("brain_assets", "pretrained", "bundle")


def test_a_folder_without_a_bundle_is_named(tmp_path):
    with pytest.raises(BundleError, match=str(tmp_path)):
        open_model(load_settings(), tmp_path)


def test_a_champion_whose_manifest_was_changed_is_refused(champion_bucket):
    manifest = champion_bucket.root / "models/1/manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"temperature": 2.0}))
    with pytest.raises(BundleError, match="not the one that was promoted"):
        open_model(settings_of(champion_bucket))


def test_a_champion_without_its_bundle_is_an_error(champion_bucket):
    champion_bucket.delete("models/1/manifest.json")
    with pytest.raises(BundleError, match="no bundle of the champion '1'"):
        open_model(settings_of(champion_bucket))


def test_images_are_judged_as_serving_judges_them(model):
    images = [decode(slice_jpeg(label)) for label in CLASS_BRIGHTNESS] + [decode(photograph_jpeg())]
    for judgement, image in zip(model.judge(images), images, strict=True):
        expected = model.bundle.judge(image)
        # Together the images are correlated in one matrix product, whose sums run in another order.
        assert judgement.decision.histogram_correlation == pytest.approx(
            expected.decision.histogram_correlation, abs=1e-5
        )
        assert judgement.decision.score == pytest.approx(expected.decision.score, abs=1e-5)
        assert judgement.decision.reason == expected.decision.reason
        np.testing.assert_array_equal(judgement.inference.probabilities, expected.inference.probabilities)
        np.testing.assert_array_equal(judgement.inference.activation_map, expected.inference.activation_map)


def test_a_record_has_exactly_the_documented_fields(model, scan):
    (judged,) = model.judge_files([scan])
    record = model.record(judged)
    assert tuple(record) == RECORD_FIELDS
    assert record["predicted_class"] == "pituitary"
    assert record["is_valid"] is True
    assert record["rejection_reason"] is None
    assert tuple(record["probabilities"]) == CLASSES
    assert record["confidence"] == max(record["probabilities"].values())
    assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert all(0 <= place <= 1 for place in record["activation_peak"])
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_a_refused_image_has_its_class_fields_too(model, tmp_path):
    (tmp_path / "photograph.jpg").write_bytes(photograph_jpeg())
    (judged,) = model.judge_files([str(tmp_path / "photograph.jpg")])
    record = model.record(judged)
    assert record["is_valid"] is False
    assert "colour" in record["rejection_reason"]
    assert record["predicted_class"] in CLASSES
    assert len(record["activation_peak"]) == 2


def test_what_cannot_be_read_keeps_its_place_among_the_others(model, scan, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    first, second, third = model.judge_files([str(tmp_path / "text.jpg"), scan, str(tmp_path / "gone.jpg")])
    assert isinstance(first, Unreadable)
    assert model.record(first) == {"path": str(tmp_path / "text.jpg"), "error": first.error}
    assert isinstance(second, JudgedFile)
    assert second.path == scan
    assert isinstance(third, Unreadable)


def test_the_limits_of_the_settings_hold(tmp_path, scan):
    model = open_model(load_settings(upload={"max_bytes": 1024}), bundle_folder(tmp_path / "bundles"))
    with pytest.raises(ImageTooLarge, match="at most 1024"):
        model.read(scan)


def test_a_model_that_gives_no_numbers_is_refused(model, scan):
    class Broken:
        def run(self, images):
            return np.full((1, 4), np.nan, np.float32), np.zeros((1, 2), np.float32), np.zeros((1, 2, 2, 4), np.float32)

    broken = OfflineModel(
        type(model.bundle)(model.bundle.manifest, Broken(), model.bundle.gate), model.files, model.origin, model.limits
    )
    with pytest.raises(BundleError, match="no finite numbers"):
        broken.judge_files([scan])
