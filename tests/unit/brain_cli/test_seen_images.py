import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brain_assets.ml.fingerprints import ORIENTATIONS, perceptual_hashes, turned
from brain_cli.offline import open_model
from brain_cli.seen_images import HASH_COLUMN, SeenImages, seen_images
from brain_core.descriptors import thumbnail
from brain_core.errors import BundleError
from brain_core.imaging import decode, encode_jpeg
from brain_core.settings import load_settings
from tests.fixtures_images import distinct_pixels
from tests.fixtures_offline import bundle_folder, gate_that_knows

SEEN, KEPT, OTHER = 1, 2, 3


def known_by(tmp_path, split: pd.DataFrame | bytes | None) -> SeenImages:
    folder = bundle_folder(tmp_path / "bundles", split=split, gate=gate_that_knows(distinct_pixels(KEPT)))
    model = open_model(load_settings(), folder)
    return seen_images(model.files, model.bundle)


def hash_of(seed: int) -> bytes:
    return perceptual_hashes(thumbnail(distinct_pixels(seed))[np.newaxis])[0].tobytes()


def copies_of(seed: int) -> np.ndarray:
    """Thumbnails of an image in every orientation, resized and encoded again."""
    images = (turned(distinct_pixels(seed)[np.newaxis], index)[0] for index in range(len(ORIENTATIONS)))
    resized = (np.asarray(Image.fromarray(image).resize((150, 190))) for image in images)
    return np.stack([thumbnail(decode(encode_jpeg(image, 70)).grey) for image in resized])


def split(**hashes: bytes) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "pixel_sha256": list(hashes),
            "part": [name.rstrip("_") for name in hashes],
            HASH_COLUMN: list(hashes.values()),
        }
    )


def test_the_part_of_known_pixels_is_told(tmp_path):
    known = known_by(tmp_path, pd.DataFrame({"pixel_sha256": ["a", "b"], "part": ["train", "test"]}))
    assert known.part_of(["b", "c", "a"]).tolist() == ["test", "unknown", "train"]


def test_pixels_in_several_parts_count_for_training(tmp_path):
    table = pd.DataFrame({"pixel_sha256": ["a", "a", "b"], "part": ["test", "train", "validation"]})
    assert known_by(tmp_path, table).parts == {"a": "train", "b": "validation"}


@pytest.mark.parametrize("table", [None, pd.DataFrame({"key": ["a"], "part": ["train"]})])
def test_a_bundle_may_say_nothing(tmp_path, table):
    assert known_by(tmp_path, table).part_of(["a"]) is None


def test_a_split_that_is_no_table_is_an_error_of_the_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"split\.parquet of the bundle .* cannot be read"):
        known_by(tmp_path, b"no table")


@pytest.mark.parametrize("part", ["train", "validation"])
def test_copies_of_what_the_model_has_seen_are_recognised_in_every_orientation(tmp_path, part):
    known = known_by(tmp_path, split(**{part: hash_of(SEEN)}))
    assert known.likely_copies(copies_of(SEEN)).all()
    assert not known.likely_copies(copies_of(OTHER)).any()
    assert "training or validation part" in known.limits


def test_copies_of_test_images_are_none(tmp_path):
    known = known_by(tmp_path, split(train=hash_of(OTHER), test=hash_of(SEEN)))
    assert not known.likely_copies(copies_of(SEEN)).any()


def test_without_hashes_only_what_the_gate_keeps_is_recognised(tmp_path):
    known = known_by(tmp_path, pd.DataFrame({"pixel_sha256": ["a"], "part": ["train"]}))
    assert known.likely_copies(copies_of(KEPT)).all()
    assert not known.likely_copies(copies_of(SEEN)).any()
    assert "most copies may stay unrecognised" in known.limits


def test_many_images_are_compared_in_blocks(tmp_path):
    known = known_by(tmp_path, split(train=hash_of(SEEN)))
    others = np.stack([thumbnail(distinct_pixels(seed)) for seed in range(100, 250)])
    images = np.concatenate([others, copies_of(SEEN)[:1]])
    assert np.flatnonzero(known.likely_copies(images)).tolist() == [150]
