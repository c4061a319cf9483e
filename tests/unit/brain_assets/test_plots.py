import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brain_assets.asset_store import ImageSet
from brain_assets.ml.plots import (
    MAX_PNG_BYTES,
    augmentation_sheet,
    before_and_after,
    class_balance,
    contact_sheet,
    histograms_by_class,
    reliability_diagram,
    roc_curves,
)
from brain_core.descriptors import histogram
from tests.fixtures_images import distinct_pixels


def opened(data: bytes) -> Image.Image:
    assert len(data) <= MAX_PNG_BYTES
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    return image


def manifest(counts: dict[tuple[str, str], int]) -> pd.DataFrame:
    rows = [key for key, count in counts.items() for _ in range(count)]
    return pd.DataFrame(rows, columns=["label", "published_split"])


def test_class_balance_draws_a_bar_for_each_class_and_part():
    few = opened(class_balance(manifest({("glioma", "Training"): 3, ("notumor", "Training"): 3})))
    more = opened(class_balance(manifest({("glioma", "Training"): 3, ("glioma", "Testing"): 1})))
    assert few.size == more.size == (640, 360)
    assert len(_hues(more)) > len(_hues(few)) >= 1


def test_class_balance_takes_another_column_and_sources_without_a_published_split():
    splits = pd.DataFrame({"label": ["glioma", "glioma", "notumor"], "part": ["train", "test", "train"]})
    assert len(_hues(opened(class_balance(splits, "part")))) >= 2
    opened(class_balance(manifest({("glioma", ""): 2})))


def test_histograms_draw_a_line_for_each_class():
    shares = [histogram(distinct_pixels(seed)) for seed in range(4)]
    labels = ["glioma", "meningioma", "notumor", "pituitary"]
    table = pd.DataFrame({"label": labels, "histogram": shares, "count": 1})
    assert len(_hues(opened(histograms_by_class(table)))) > len(_hues(opened(histograms_by_class(table[:1]))))


@pytest.mark.parametrize("shape", [(10, 40, 50), (10, 40, 50, 1)])
def test_contact_sheet_is_a_grid_row_by_row(shape: tuple[int, ...]):
    images = np.zeros(shape, np.uint8)
    images[8] = 200
    sheet = np.asarray(opened(contact_sheet(images, columns=8)).convert("L"))
    assert sheet.shape == (2 * 98, 8 * 98)
    assert sheet[98:194, :96].mean() == pytest.approx(200, abs=8)
    assert sheet[:96].max() < 8


def test_contact_sheet_of_noise_is_made_smaller():
    noise = np.random.default_rng(0).integers(0, 256, (40, 128, 128), dtype=np.uint8)
    sheet = opened(contact_sheet(noise))
    assert sheet.width < 8 * 98


def test_augmentation_sheet_has_each_copy_below_its_original():
    originals, copies = np.full((3, 32, 32, 1), 40, np.uint8), np.full((3, 32, 32, 1), 200, np.uint8)
    sheet = np.asarray(opened(augmentation_sheet(originals, copies)).convert("L"))
    assert sheet.shape == (2 * 98, 3 * 98)
    assert sheet[:96, :96].mean() == pytest.approx(40, abs=8)
    assert sheet[98:194, :96].mean() == pytest.approx(200, abs=8)


def test_boxes_are_drawn_in_colour_where_they_are_known():
    images = np.full((2, 64, 64), 100, np.uint8)
    boxes = np.array([[0.25, 0.5, 0.75, 1.0], [np.nan] * 4], np.float32)
    sheet = np.asarray(opened(contact_sheet(images, 2, boxes)).convert("RGB")).astype(int)
    is_coloured = sheet[..., 0] - sheet[..., 2] > 100
    rows, columns = np.nonzero(is_coloured)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (48, 95, 24, 71)
    assert not is_coloured[60:90, 30:65].any()


def test_before_and_after_shows_images_with_a_box_and_their_copies():
    grey = np.repeat(np.arange(6, dtype=np.uint8) * 40, 32 * 32).reshape(6, 32, 32, 1)
    boxes = np.full((6, 4), np.nan, np.float32)
    boxes[[1, 4]] = 0.25, 0.25, 0.75, 0.75
    zeros = np.zeros(6, np.int64)
    augmented = ImageSet(grey, zeros, zeros, np.array(list("abcabc")), boxes)
    sheet = np.asarray(opened(before_and_after(augmented, originals=3)).convert("L")).astype(int)
    assert sheet.shape == (2 * 98, 98)
    assert sheet[48, 48] == pytest.approx(40, abs=8)
    assert sheet[98 + 48, 48] == pytest.approx(160, abs=8)


def test_before_and_after_without_boxes_shows_images_from_first_to_last():
    grey = np.repeat(np.arange(12, dtype=np.uint8) * 20, 32 * 32).reshape(12, 32, 32, 1)
    zeros = np.zeros(12, np.int64)
    images = ImageSet(grey, zeros, zeros, np.array(list("abcdefghijkl")))
    sheet = np.asarray(opened(before_and_after(images, originals=12, shown=3)).convert("L")).astype(int)
    assert sheet[48, 48::98] == pytest.approx([0, 100, 220], abs=8)
    assert sheet[98 + 48, 48::98] == pytest.approx([0, 100, 220], abs=8)


def test_the_reliability_diagram_shows_both_before_and_after_scaling():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(4, 0.5), 200)
    labels = rng.integers(0, 4, 200)
    same = opened(reliability_diagram(probabilities, probabilities, labels))
    other = opened(reliability_diagram(probabilities, np.full((200, 4), 0.25), labels))
    assert same.size == (640, 360)
    assert same.tobytes() != other.tobytes()


def test_roc_curves_are_drawn_of_the_classes_that_can_be_told_from_others():
    probabilities = np.eye(4)[[0, 1, 2, 3, 0]] * 0.9 + 0.025
    all_classes = opened(roc_curves(probabilities, np.array([0, 1, 2, 3, 1])))
    one_class = opened(roc_curves(probabilities[:1], np.array([0])))
    assert len(_hues(all_classes)) > len(_hues(one_class))


def _hues(picture: Image.Image) -> set[int]:
    """Rough hues of the strongly coloured areas."""
    hue, saturation, _ = np.asarray(picture.convert("RGB").convert("HSV")).reshape(-1, 3).T
    values, counts = np.unique(hue[saturation > 150] // 16, return_counts=True)
    return {int(value) for value, count in zip(values, counts, strict=True) if count > 100}
