from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brain_assets.asset_store import ImageSet
from brain_assets.ml.evaluation import BLOCK_IMAGES, Answers, answers_of, evaluate_model, judge, keras_predictor
from brain_assets.ml.figures import PUBLISHED_NOTE
from brain_assets.ml.image_facts import KnownImages
from brain_assets.ml.metrics import evaluate
from brain_assets.ml.training_data import TrainingData
from brain_core.imaging import encode_png
from brain_core.labels import CLASSES
from tests.fixtures_evaluation import drawn_images, judged_model, known_images, predictor, trained_record
from tests.fixtures_model import QuickTraining, textures

GLIOMA, MENINGIOMA, NOTUMOR, PITUITARY = range(4)


def test_one_image_of_each_group_is_judged_and_patients_are_resampled(bucket):
    found = judged_model(bucket, wrong=(GLIOMA,)).evaluation
    assert (found.images, found.groups, found.components) == (16, 16, 8)
    assert found.accuracy.value == pytest.approx(0.75)
    assert found.by_class["glioma"].recall.value == 0
    assert found.confusion[GLIOMA] == [0, 4, 0, 0]


def test_the_figures_are_those_of_the_representatives_with_their_components(bucket):
    judged = judged_model(bucket, wrong=(GLIOMA,))
    rows = judged.representatives
    assert rows.tolist() == list(range(0, 32, 2))
    expected = evaluate(judged.answers.probabilities[rows], judged.test.labels[rows], judged.test.groups[rows] // 2)
    assert judged.evaluation.accuracy == expected.accuracy
    assert judged.evaluation.roc_auc == expected.roc_auc
    assert judged.evaluation.ece == expected.ece


def test_every_copy_counts_in_the_figures_over_images(bucket):
    test = drawn_images()
    # Only the copy of the first image, which represents nothing, is told wrongly.
    test.images[1, 0, 0, 0] = MENINGIOMA
    found = judge(predictor(), test, known_images(test), bucket).evaluation
    assert found.accuracy.value == 1
    assert found.all_images.images == 32
    assert found.all_images.accuracy.value == pytest.approx(31 / 32)
    assert found.all_images.recall["glioma"].value == pytest.approx(7 / 8)


def test_the_calibration_error_is_told_before_and_after_scaling(bucket):
    test = drawn_images(400, copies=1)
    predict = predictor(wrong=(PITUITARY,), confidence=0.75)
    found = judge(predict, test, known_images(test), bucket, temperature=3.0).evaluation
    assert found.ece.value < 0.02
    assert found.ece_before_scaling.value == pytest.approx(0.25, abs=0.01)


def test_sources_and_planes_have_their_own_figures(bucket):
    test = drawn_images()
    source = np.where(test.groups < 4, "scanner", "own")
    known = known_images(test)
    known = replace(known, splits=known.splits.assign(source=source))
    found = judge(predictor(wrong=(GLIOMA,)), test, known, bucket).evaluation
    assert {name: part.images for name, part in found.by_source.items()} == {"own": 12, "scanner": 4}
    assert found.by_source["scanner"].accuracy.value == pytest.approx(0.75)
    assert {name: part.images for name, part in found.by_plane.items()} == {"axial": 8}


def test_a_model_that_falls_for_orientation_is_inconsistent_on_mirrored_images(bucket):
    test = drawn_images()
    test.images[:8, 0, -1, 0] = (test.images[:8, 0, 0, 0] + 1) % 4
    mirror = judge(predictor(), test, known_images(test), bucket).evaluation.mirror
    assert mirror.consistency.value == pytest.approx(24 / 32)
    assert mirror.accuracy.value == pytest.approx(24 / 32)
    assert judged_model(bucket).evaluation.mirror.consistency.value == 1


def test_only_rightly_predicted_tumours_with_a_box_tell_where_the_map_points(bucket):
    test = drawn_images()
    test.boxes[test.labels == PITUITARY] = 0.6, 0.6, 0.9, 0.9
    test.boxes[0] = np.nan
    found = judge(predictor(wrong=(MENINGIOMA,)), test, known_images(test), bucket).evaluation.localisation
    assert {name: part.images for name, part in found.items()} == {"glioma": 3, "pituitary": 4, "all": 7}
    assert found["glioma"].peak_in_box.value == found["glioma"].energy_in_box.value == 1
    assert found["pituitary"].peak_in_box.value == 0
    assert found["all"].peak_in_box.value == pytest.approx(3 / 7)


def with_published_split(bucket, test: ImageSet) -> KnownImages:
    """Half of the test images, a copy of a training image, and another training image are in Testing."""
    for name, label in (("a", GLIOMA), ("b", GLIOMA), ("c", NOTUMOR)):
        bucket.write(f"data/{name}.png", encode_png(np.full((40, 40), label, np.uint8)))
    known = known_images(test)
    rows = {"key": ["data/a.png", "data/b.png", "data/c.png"], "label": ["glioma", "glioma", "notumor"]}
    more = pd.DataFrame(rows).assign(group=[100, 100, 101], component=50, part="train", source="own")
    more["is_representative"] = [True, False, True]
    splits = pd.concat([known.splits, more], ignore_index=True)
    is_testing = [*(np.arange(len(test)) < 8), False, True, True]
    published = np.where(is_testing, "Testing", "Training")
    return replace(known, splits=splits, manifest=pd.DataFrame({"key": splits["key"], "published_split": published}))


def test_the_published_split_is_judged_wherever_its_images_are_and_named_as_inflated(bucket):
    test = drawn_images()
    found = judge(predictor(wrong=(MENINGIOMA,)), test, with_published_split(bucket, test), bucket).evaluation
    published = found.published_split
    assert published.images == 10
    assert published.accuracy.value == pytest.approx(8 / 10)
    assert published.note == PUBLISHED_NOTE
    assert published.trained_share == pytest.approx(2 / 10)
    assert found.groups == 16


def test_without_boxes_planes_maps_and_a_published_split_these_figures_are_missing(bucket):
    test = drawn_images(1, copies=1)
    known = replace(known_images(test), annotations=pd.DataFrame({"key": []}))
    found = judge(predictor(has_map=False), test, known, bucket).evaluation
    assert found.accuracy.value == 1
    assert (found.localisation, found.by_plane, found.published_split, found.roc_auc) == ({}, {}, None, None)
    assert found.by_class["pituitary"].recall is None
    assert type(found).model_validate(found.as_dict()) == found


def test_no_test_images_are_refused_with_what_to_do(bucket):
    test = drawn_images(1, copies=1)
    nothing = ImageSet(test.images[:0], test.labels[:0], test.groups[:0], test.keys[:0])
    with pytest.raises(ValueError, match="Add images"):
        judge(predictor(), nothing, known_images(test), bucket)


def test_many_images_are_asked_for_in_blocks_in_their_order():
    asked: list[int] = []

    def predict(images: np.ndarray) -> Answers:
        asked.append(len(images))
        return predictor()(images)

    test = drawn_images(BLOCK_IMAGES + 3, copies=1)
    answers = answers_of(predict, test.images)
    assert asked == [BLOCK_IMAGES, 3]
    np.testing.assert_array_equal(answers.predictions, test.labels)


def test_the_map_is_that_of_the_predicted_class():
    class Model:
        def predict(self, images: np.ndarray, **_: object) -> dict[str, np.ndarray]:
            maps = np.zeros((len(images), 3, 3, 4)) + np.arange(4)
            return {"probabilities": np.eye(4)[[3, 1]], "activation_map": maps}

    answers = keras_predictor(Model())(np.zeros((2, 8, 8, 1), np.uint8))
    assert answers.maps[:, 0, 0].tolist() == [3, 1]
    assert answers.of(np.array([1])).maps[0, 0, 0] == 1


def test_a_trained_model_is_judged_by_its_own_weights(bucket, quick_training: QuickTraining):
    data: TrainingData = quick_training.data
    images, labels = textures(24, seed=9, size=data.images.shape[1])
    test = ImageSet(images, labels, np.arange(24), np.array([f"{index}.png" for index in range(24)]))
    record = trained_record().model_copy(update={"temperature": quick_training.trained.temperature})
    evaluated, judged = evaluate_model(record, quick_training.trained.weights, test, known_images(test), bucket)
    assert evaluated.metrics.accuracy.value > 1 / len(CLASSES)
    assert evaluated.metrics.mirror.consistency.value == 1
    assert judged.answers.maps.ndim == 3
