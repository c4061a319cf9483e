import numpy as np
import pandas as pd
import pytest

from brain_assets.asset_store import ImageSet
from brain_assets.ml.feedback import HELD_OUT
from brain_assets.ml.judging import common_test_rows, judge
from brain_core.errors import BundleError
from brain_core.labels import CLASSES
from brain_core.storage import model_key
from tests import fixtures_bundle
from tests.fixtures_promotion import (
    COUNT,
    confused_model,
    drawn_test_set,
    promotion_inputs,
    slice_key,
    upload_model,
    write_slices,
)

TEST = ImageSet(np.zeros((5, 8, 8, 1), np.uint8), np.zeros(5, int), np.arange(5), np.array(list("abcde")))
SPLITS = pd.DataFrame(
    {
        "key": list("abcdex"),
        "group": [0, 0, 1, 2, 3, 4],
        "component": [0, 0, 1, 1, 2, 3],
        "part": ["test"] * 5 + ["train"],
        "is_representative": [True, False, True, True, True, True],
    }
)
STATISTICS = pd.DataFrame({"key": list("abcdex"), "pixel_sha256": list("ABCDEX")})


def rows(seen: str = "", splits: pd.DataFrame = SPLITS) -> tuple[str, int]:
    found, left_out = common_test_rows(TEST, splits, STATISTICS, set(seen))
    return "".join(TEST.keys[found].tolist()), left_out


def test_one_representative_of_each_test_group_judges():
    assert rows() == ("acde", 0)


def test_a_group_of_which_a_model_knows_any_copy_is_left_out():
    assert rows(seen="B") == ("cde", 1)


def test_another_slice_of_a_patient_that_a_model_was_trained_on_is_left_out_too():
    assert rows(seen="C") == ("ae", 2)


def test_without_components_every_group_is_its_own():
    assert rows(seen="C", splits=SPLITS.drop(columns="component")) == ("ade", 1)


def test_an_image_that_the_splits_no_longer_know_does_not_judge():
    assert rows(splits=SPLITS[SPLITS["key"] != "c"]) == ("ade", 0)


def test_when_everything_was_trained_on_nothing_judges():
    assert rows(seen="ACDE") == ("", 4)


def test_two_models_answer_the_same_groups(bucket):
    upload_model(bucket, "1", model=confused_model())
    upload_model(bucket, "2")
    judged = judge(promotion_inputs("2"), ["2", "1"], bucket)
    challenger, champion = judged.candidates
    labels = judged.evidence.test.labels
    assert (challenger.version, champion.version) == ("2", "1")
    assert (challenger.test.predictions == labels).all()
    assert set(np.flatnonzero(champion.test.predictions != labels) % 4) == {0, 1}
    assert 0 <= challenger.calibration_error < champion.calibration_error <= 1
    assert challenger.parity == 1e-7
    assert min(challenger.latency_ms, champion.latency_ms) > 0
    assert judged.evidence.test.has_box.sum() == COUNT * 3 / 4
    assert judged.left_out_groups == 0


def test_what_either_model_was_trained_or_tuned_on_does_not_judge(bucket):
    upload_model(bucket, "1", {f"pixels of {slice_key(0)}": "train", f"pixels of {slice_key(1)}": "test"})
    upload_model(bucket, "2", {f"pixels of {slice_key(2)}": "validation"})
    judged = judge(promotion_inputs("2"), ["2", "1"], bucket)
    assert len(judged.evidence.test) == COUNT - 2
    assert judged.left_out_groups == 2


def test_a_model_that_knows_every_test_image_leaves_nothing_to_judge(bucket):
    upload_model(bucket, "1", {f"pixels of {slice_key(index)}": "train" for index in range(COUNT)})
    upload_model(bucket, "2")
    judged = judge(promotion_inputs("2"), ["2", "1"], bucket)
    assert len(judged.evidence.test) == 0
    assert np.isnan(judged.candidates[0].calibration_error)


def test_the_peak_of_the_map_is_compared_with_the_box(bucket):
    upload_model(bucket, "2")
    test = drawn_test_set()
    nowhere = ImageSet(test.images, test.labels, test.groups, test.keys, np.full((COUNT, 4), 2.0, np.float32))
    everywhere = ImageSet(
        test.images, test.labels, test.groups, test.keys, np.tile(np.array([0, 0, 1, 1], np.float32), (COUNT, 1))
    )
    shares = [
        judge(promotion_inputs("2", test=one), ["2"], bucket).candidates[0].test.on_tumour.mean()
        for one in (nowhere, everywhere)
    ]
    assert shares == [0, 1]


def test_a_champion_of_another_input_size_sees_the_images_in_its_own(bucket, monkeypatch):
    write_slices(bucket)
    with monkeypatch.context() as patch:
        patch.setattr(fixtures_bundle, "SIZE", 64)
        upload_model(bucket, "1")
    upload_model(bucket, "2")
    challenger, champion = judge(promotion_inputs("2"), ["2", "1"], bucket).candidates
    np.testing.assert_array_equal(champion.test.predictions, challenger.test.predictions)


def held_out_feedback(bucket) -> pd.DataFrame:
    """Eight held-out uploads, of which each shows a drawn slice."""
    write_slices(bucket)
    rows = {
        "key": [slice_key(index) for index in range(8)],
        "label": [CLASSES[index % 4] for index in range(8)],
        "pixel_sha256": [f"pixels {index}" for index in range(8)],
        "related_group": range(8),
        "reason": HELD_OUT,
    }
    return pd.DataFrame(rows)


def test_held_out_feedback_is_answered_where_there_is_some(bucket):
    upload_model(bucket, "2")
    feedback = held_out_feedback(bucket)
    judged = judge(promotion_inputs("2", feedback=feedback, uploads=bucket), ["2"], bucket)
    assert judged.evidence.feedback is not None
    assert judged.candidates[0].feedback is not None
    np.testing.assert_array_equal(judged.candidates[0].feedback.predictions, judged.evidence.feedback.labels)
    assert len(judged.evidence.feedback) == 8
    assert judge(promotion_inputs("2"), ["2"], bucket).evidence.feedback is None


def test_held_out_feedback_that_a_model_was_trained_on_or_that_was_erased_does_not_judge(bucket):
    upload_model(bucket, "1", {"pixels 0": "train"})
    upload_model(bucket, "2")
    feedback = held_out_feedback(bucket)
    bucket.delete(feedback["key"].iloc[1])
    judged = judge(promotion_inputs("2", feedback=feedback, uploads=bucket), ["2", "1"], bucket)
    assert judged.evidence.feedback is not None
    assert len(judged.evidence.feedback) == 6


def test_a_version_without_a_bundle_is_an_error(bucket):
    with pytest.raises(BundleError, match="There is no bundle '2'"):
        judge(promotion_inputs("2"), ["2"], bucket)


@pytest.mark.parametrize("name", ["split.parquet", "model.onnx"])
def test_a_damaged_file_is_an_error_and_no_model_that_knows_nothing(bucket, name):
    upload_model(bucket, "2")
    bucket.write(model_key("2", name), b"damaged")
    with pytest.raises(BundleError, match="sha256 differs"):
        judge(promotion_inputs("2"), ["2"], bucket)


def test_a_champion_whose_gate_this_code_cannot_read_can_be_compared_with(bucket):
    upload_model(bucket, "1", gate=b"of another version")
    upload_model(bucket, "2")
    assert len(judge(promotion_inputs("2"), ["2", "1"], bucket).candidates) == 2
