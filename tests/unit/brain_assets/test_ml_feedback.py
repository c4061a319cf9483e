from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

from brain_assets.ml.feedback import corrected_statistics, correction_table, corrections_of, screen
from brain_assets.ml.statistics import image_statistics
from brain_core.corrections import Correction
from brain_core.imaging import encode_jpeg


def picture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 255, (8, 8), dtype=np.uint8), np.ones((16, 16), np.uint8))


def correction(name: str, sha256: str | None = None, label: str = "glioma") -> Correction:
    return Correction(uuid4(), 1, f"up/{name}.jpg", sha256 or name, label, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def test_statistics(bucket) -> pd.DataFrame:
    bucket.write("data/t.jpg", encode_jpeg(picture(0)))
    return image_statistics(bucket, pd.DataFrame({"key": ["data/t.jpg"], "label": ["glioma"], "decodes": [True]}))


def screened(corrections: list[Correction], bucket, test_statistics: pd.DataFrame) -> dict[str, str | None]:
    table = correction_table(corrections)
    result = screen(table, corrected_statistics(table, bucket), test_statistics)
    assert (result["is_used"] == result["reason"].isna()).all()
    return {row.key: row.reason for row in result.itertuples()}


def test_a_new_image_is_used(bucket, test_statistics):
    bucket.write("up/a.jpg", encode_jpeg(picture(1)))
    assert screened([correction("a")], bucket, test_statistics) == {"up/a.jpg": None}


@pytest.mark.parametrize("transform", [np.array, np.fliplr, np.rot90])
def test_a_copy_of_a_test_image_is_left_out_also_mirrored_or_rotated(bucket, test_statistics, transform):
    bucket.write("up/a.jpg", encode_jpeg(np.ascontiguousarray(transform(picture(0))), quality=70))
    assert screened([correction("a")], bucket, test_statistics) == {"up/a.jpg": "copy of a test image"}


def test_of_a_repeated_image_the_newest_correction_holds(bucket, test_statistics):
    for name in ("a", "b"):
        bucket.write(f"up/{name}.jpg", encode_jpeg(picture(1)))
    result = screened([correction("a", "same"), correction("b", "same")], bucket, test_statistics)
    assert result == {"up/a.jpg": "the same image was corrected again later", "up/b.jpg": None}


def test_a_missing_and_a_damaged_image_are_left_out(bucket, test_statistics):
    bucket.write("up/damaged.jpg", b"not an image")
    result = screened([correction("absent"), correction("damaged")], bucket, test_statistics)
    assert set(result.values()) == {"the image is missing or does not decode"}


def test_no_corrections_give_an_empty_table_with_its_columns(bucket, test_statistics):
    table = correction_table([])
    result = screen(table, corrected_statistics(table, bucket), test_statistics)
    assert len(result) == 0
    assert {"key", "label", "is_used", "reason", "pixel_sha256"} <= set(result.columns)


def test_the_table_gives_its_corrections_back():
    made = [correction("a"), correction("b", label="notumor")]
    assert corrections_of(correction_table(made)) == made
