import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from brain_assets.ml.evaluation import JudgedModel
from brain_assets.ml.galleries import COLUMNS, gallery, shown_maps, worst_mistakes
from tests.fixtures_evaluation import judged_model

GLIOMA, MENINGIOMA, NOTUMOR, PITUITARY = range(4)
SIDE, STEP = 160, 164
GREEN = (80, 220, 80)


def pixels(data: bytes | None) -> np.ndarray:
    assert data is not None
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def is_box(sheet: np.ndarray) -> np.ndarray:
    return (sheet == GREEN).all(axis=-1)


def with_boxes(judged: JudgedModel, rows: np.ndarray) -> JudgedModel:
    """The same with a box on these images only."""
    boxes = np.full_like(judged.test.boxes, np.nan)
    boxes[rows] = judged.test.boxes[rows]
    return replace(judged, test=replace(judged.test, boxes=boxes))


def of_class(judged: JudgedModel, label: int) -> np.ndarray:
    return judged.representatives[judged.test.labels[judged.representatives] == label]


def test_an_image_shows_its_map_with_the_box_and_the_peak(bucket):
    judged = judged_model(bucket)
    sheet = pixels(gallery(judged, of_class(judged, GLIOMA)[:3]))
    assert sheet.shape == (160 + 2 * 15 + 4, 3 * STEP, 3)
    rows, columns = np.nonzero(is_box(sheet[:, :SIDE]))
    assert (rows.min(), columns.min()) == (0, 0)
    assert (rows.max(), columns.max()) == pytest.approx((80, 80), abs=1)
    # The map's greatest cell is the second from above and the third from the left of eight: centre at 50, 30.
    ring_rows, ring_columns = np.nonzero((sheet[:SIDE, :SIDE] == 255).all(axis=-1))
    assert (ring_rows.mean(), ring_columns.mean()) == pytest.approx((30, 50), abs=1)
    inside, outside = sheet[30, 50], sheet[140, 140]
    assert np.ptp(inside) > 60
    assert np.ptp(outside) < 30


def test_no_box_is_drawn_where_none_is_known(bucket):
    judged = judged_model(bucket)
    assert not is_box(pixels(gallery(judged, of_class(judged, NOTUMOR)))).any()


def test_without_a_map_the_images_are_shown_alone(bucket):
    judged = judged_model(bucket, has_map=False)
    assert np.ptp(pixels(gallery(judged, of_class(judged, NOTUMOR)[:1]))[:SIDE, :SIDE], axis=-1).max() < 12


def test_images_are_drawn_by_lot_from_the_representatives_and_the_same_again(bucket):
    judged = judged_model(bucket)
    first, again, other = (shown_maps(judged, (GLIOMA, PITUITARY), shown=4, seed=seed).tolist() for seed in (1, 1, 3))
    assert first == again != other
    assert set(first) <= set(judged.representatives.tolist())
    assert judged.test.labels[first].tolist() == [GLIOMA, GLIOMA, PITUITARY, PITUITARY]


def test_images_with_a_box_come_before_the_others(bucket):
    judged = judged_model(bucket)
    last = of_class(judged, GLIOMA)[-1:]
    assert shown_maps(with_boxes(judged, last), (GLIOMA,), shown=1).tolist() == last.tolist()


def test_the_most_confident_mistakes_come_first_one_of_each_patient_before_others_of_it(bucket):
    judged = judged_model(bucket, wrong=(GLIOMA, MENINGIOMA))
    wrong = np.concatenate([of_class(judged, GLIOMA), of_class(judged, MENINGIOMA)])
    # Both of the first patient, and one of another.
    for row, confidence in ((wrong[0], 0.99), (wrong[4], 0.98), (wrong[1], 0.97)):
        said = judged.answers.predictions[row]
        judged.answers.probabilities[row] = (1 - confidence) / 3
        judged.answers.probabilities[row, said] = confidence
    assert judged.facts["component"].iloc[[wrong[0], wrong[4]]].nunique() == 1
    worst = worst_mistakes(judged)
    assert worst[:2].tolist() == [wrong[0], wrong[1]]
    assert sorted(worst) == sorted(wrong)
    assert worst[4] == wrong[4]


def test_without_a_mistake_or_an_image_there_is_no_picture(bucket):
    judged = judged_model(bucket)
    assert gallery(judged, worst_mistakes(judged)) is None
    nobody = replace(judged, facts=judged.facts.assign(is_representative=False))
    assert gallery(nobody, shown_maps(nobody, (GLIOMA,))) is None


@pytest.mark.parametrize("max_bytes", [60_000, 40_000])
def test_noise_is_shown_smaller_and_in_fewer_rows_until_it_is_small_enough(bucket, max_bytes):
    judged = judged_model(bucket)
    noise = np.random.default_rng(0).integers(0, 256, (32, 160, 160, 1), dtype=np.uint8)
    noisy = replace(judged, test=replace(judged.test, images=noise))
    data = gallery(noisy, judged.representatives, max_bytes)
    assert data is not None
    assert len(data) <= max_bytes
    assert pixels(data).shape[1] == COLUMNS * (104 + 4)


def test_a_picture_that_can_not_be_small_enough_is_left_out(bucket):
    judged = judged_model(bucket)
    assert gallery(judged, judged.representatives, max_bytes=100) is None
