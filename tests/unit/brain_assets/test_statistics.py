import numpy as np
import pandas as pd
import pytest

from brain_assets.ml.statistics import (
    ENCODING_NAMES,
    STATISTICS_COLUMNS,
    class_histograms,
    image_statistics,
    stacked_histograms,
    stacked_thumbnails,
)
from brain_core.descriptors import DESCRIPTOR_NAMES, MARGIN_NAMES, dark_margins, describe, histogram, thumbnail
from brain_core.errors import ObjectNotFound
from brain_core.imaging import decode, encode_jpeg, encode_png
from brain_core.storage import LocalBucket
from tests.fixtures_images import distinct_pixels, through_parquet


@pytest.fixture
def manifest(bucket: LocalBucket) -> pd.DataFrame:
    for seed, key in enumerate(("a.png", "b.png", "c.png")):
        bucket.write(key, encode_png(distinct_pixels(seed)))
    return pd.DataFrame(
        {
            "key": ["c.png", "broken.png", "a.png", "b.png"],
            "label": ["glioma", "glioma", "glioma", "notumor"],
            "decodes": [True, False, True, True],
        }
    )


def test_statistics_describe_each_image_that_decodes_in_the_manifests_order(
    manifest: pd.DataFrame, bucket: LocalBucket
):
    table = image_statistics(bucket, manifest)
    assert tuple(table.columns) == STATISTICS_COLUMNS
    assert table["key"].tolist() == ["c.png", "a.png", "b.png"]
    assert table["label"].tolist() == ["glioma", "glioma", "notumor"]
    image = decode(bucket.read("a.png"))
    assert table.loc[1, list(DESCRIPTOR_NAMES)].to_dict() == describe(image).as_dict()
    assert table.loc[1, list(MARGIN_NAMES)].to_dict() == dark_margins(image.grey)
    assert table.loc[1, list(ENCODING_NAMES)].to_dict() == vars(image.encoding)
    assert np.array_equal(stacked_histograms(table)[1], histogram(image.grey))
    assert np.array_equal(stacked_thumbnails(table)[1], thumbnail(image.grey))


def test_many_images_keep_their_order_and_each_is_reported(bucket: LocalBucket):
    keys = [f"{number}.jpg" for number in range(40)]
    for seed, key in enumerate(keys):
        bucket.write(key, encode_jpeg(distinct_pixels(seed)))
    seen: list[tuple[int, int]] = []
    manifest = pd.DataFrame({"key": keys[::-1], "label": "glioma", "decodes": True})
    table = image_statistics(bucket, manifest, lambda done, total: seen.append((done, total)))
    assert table["key"].tolist() == keys[::-1]
    assert np.array_equal(stacked_thumbnails(table)[0], thumbnail(decode(bucket.read("39.jpg")).grey))
    assert seen == [(done, 40) for done in range(1, 41)]


def test_statistics_survive_parquet(manifest: pd.DataFrame, bucket: LocalBucket):
    table = image_statistics(bucket, manifest)
    read = through_parquet(table)
    plain = [name for name in STATISTICS_COLUMNS if name != "histogram"]
    assert read[plain].equals(table[plain])
    assert np.array_equal(stacked_histograms(read), stacked_histograms(table))
    assert read["histogram"].iloc[0].dtype == np.float32


def test_pixel_hash_is_of_the_pixels_and_their_shape_not_of_the_file(bucket: LocalBucket):
    pixels = distinct_pixels(1)
    bucket.write("grey.png", encode_png(pixels))
    bucket.write("rgb.png", encode_png(np.repeat(pixels[..., np.newaxis], 3, axis=-1)))
    bucket.write("wide.png", encode_png(pixels.reshape(32, 128)))
    manifest = pd.DataFrame({"key": ["grey.png", "rgb.png", "wide.png"], "label": "glioma", "decodes": True})
    grey, rgb, wide = image_statistics(bucket, manifest)["pixel_sha256"]
    assert grey == rgb
    assert grey != wide


def test_statistics_of_nothing_have_all_columns(manifest: pd.DataFrame, bucket: LocalBucket):
    table = image_statistics(bucket, manifest[~manifest["decodes"]])
    assert tuple(table.columns) == STATISTICS_COLUMNS
    assert table.empty
    assert class_histograms(table).empty
    assert stacked_thumbnails(table).shape == (0, 32, 32)


def test_missing_image_is_an_error(manifest: pd.DataFrame, bucket: LocalBucket):
    with pytest.raises(ObjectNotFound, match=r"broken\.png"):
        image_statistics(bucket, manifest.assign(decodes=True))


def test_class_histograms_are_means_that_sum_to_one(manifest: pd.DataFrame, bucket: LocalBucket):
    table = image_statistics(bucket, manifest)
    by_class = through_parquet(class_histograms(table))
    assert by_class[["label", "count"]].to_numpy().tolist() == [["glioma", 2], ["notumor", 1]]
    assert stacked_histograms(by_class).sum(axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert np.allclose(stacked_histograms(by_class)[0], stacked_histograms(table)[:2].mean(axis=0))
