"""Images that are none, and buckets that take nothing, as the ingestion in Dagster meets them."""

import io
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from PIL import Image

from brain_assets.definitions import build_definitions
from brain_core.data_versions import data_versions
from brain_core.imaging import encode_png
from brain_core.labels import CLASSES
from brain_core.settings import load_settings
from tests.fixtures_images import distinct_jpeg, distinct_pixels
from tests.integration.test_data_flow import Pipeline, failed_checks

BATCH_ASSETS = ("raw_images", "image_statistics")
GOOD = {f"{CLASSES[seed % 4]}/{seed:02}.jpg": distinct_jpeg(seed) for seed in range(24)}


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def black_png(width: int, height: int, *more: bytes) -> bytes:
    """A valid grey PNG of a few bytes, however large the image is."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(height * (width + 1))))
    return b"".join((b"\x89PNG\r\n\x1a\n", header, *more, pixels, png_chunk(b"IEND", b"")))


def in_format(name: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(distinct_pixels(50)).save(buffer, name)
    return buffer.getvalue()


def jpeg_that_claims(height: int, width: int) -> bytes:
    data = bytearray(distinct_jpeg(51))
    start_of_frame = data.index(b"\xff\xc0")
    data[start_of_frame + 5 : start_of_frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


BAD = {
    "zero.jpg": (b"", "The file is empty"),
    "text.jpg": (b"patient 7, see PACS", "neither JPEG nor PNG"),
    "page.html.jpg": (b"<!DOCTYPE html><html>404</html>", "neither JPEG nor PNG"),
    "dicom.dcm": (bytes(128) + b"DICM" + bytes(500), "neither JPEG nor PNG"),
    "gif.jpg": (in_format("GIF"), "neither JPEG nor PNG"),
    "webp.png": (in_format("WEBP"), "neither JPEG nor PNG"),
    "tiff.jpeg": (in_format("TIFF"), "neither JPEG nor PNG"),
    "half.jpg": (distinct_jpeg(52)[:-600], "damaged or truncated"),
    "half.png": (encode_png(distinct_pixels(53))[:-600], "damaged or truncated"),
    "head.png": (encode_png(distinct_pixels(54))[:20], "header is damaged"),
    "bomb.png": (black_png(6000, 6000), "6000x6000 pixels; at most 25000000"),
    "bomb.jpg": (jpeg_that_claims(65535, 65535), "far more pixels than are accepted"),
    "text-bomb.png": (black_png(8, 8, png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26)))), "damaged"),
    "heavy.jpg": (distinct_jpeg(55) + bytes(10 * 2**20), "at most 10485760 are accepted"),
}


class Tolerant(Pipeline):
    """A pipeline that goes on with what is left, whatever share of the images is bad."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        super().__init__(root, instance)
        source = {"uri": str(self.source), "batch_size": 48, "max_undecodable_share": 1.0}
        self.definitions = build_definitions(
            load_settings(home=root, source=source, bucket={"uri": str(self.bucket.root)})
        )
        for path, data in GOOD.items():
            self.write(path, data)

    def errors_of(self, batch: str) -> str:
        """The errors of reading a batch; empty when it was read."""
        return "\n".join(
            str(event.event_specific_data.error) for event in self.read_batch(batch).get_step_failure_events()
        )

    def recorded(self) -> set[str]:
        keys = [dg.AssetKey(name) for name in BATCH_ASSETS]
        return set().union(*(self.instance.get_materialized_partitions(key) for key in keys))

    def assert_whole(self) -> None:
        assert self.make("image_manifest").success
        manifest = self.manifest()
        assert {row.path: self.bucket.read(row.key) for row in manifest.itertuples()} == GOOD
        assert len(manifest) == len(GOOD)


@pytest.fixture
def pipeline(tmp_path) -> Iterator[Tolerant]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Tolerant(tmp_path, instance)


def test_bad_images_are_rows_with_a_reason_and_nothing_below_ever_meets_them(pipeline):
    for name, (data, _) in BAD.items():
        pipeline.write(f"glioma/{name}", data)
    pipeline.ingest()
    result = pipeline.build()
    assert result.success
    assert failed_checks(result) == set()
    manifest = pipeline.manifest().set_index("path")
    assert len(manifest) == len(GOOD) + len(BAD)
    for name, (data, reason) in BAD.items():
        row = manifest.loc[f"glioma/{name}"]
        assert not row["decodes"], name
        assert reason in row["reason"], name
        assert (row["width"], row["height"], row["format"], row["size_bytes"]) == (0, 0, "", len(data)), name
    good = manifest[manifest["decodes"]]
    assert set(good.index) == set(GOOD)
    assert good["reason"].isna().all()
    assert {key: pipeline.bucket.read(key) for key in pipeline.bucket.keys("data/")} == {
        good.loc[path, "key"]: data for path, data in GOOD.items()
    }
    for asset in ("current_statistics", "duplicate_groups", "dataset_splits"):
        assert set(result.output_for_node(asset)["key"]) == set(good["key"]), asset
    shown = result.asset_materializations_for_node("image_manifest")[0].metadata
    assert (shown["rows"].value, shown["undecodable"].value) == (len(manifest), len(BAD))


def test_a_bad_image_that_is_replaced_by_a_good_one_becomes_part_of_the_data(pipeline):
    pipeline.write("glioma/late.jpg", distinct_jpeg(60)[:300])
    pipeline.ingest()
    pipeline.make("image_manifest")
    assert not pipeline.manifest().set_index("path").loc["glioma/late.jpg", "decodes"]
    pipeline.write("glioma/late.jpg", distinct_jpeg(60))
    pipeline.ingest()
    pipeline.make("image_manifest")
    row = pipeline.manifest().set_index("path").loc["glioma/late.jpg"]
    assert row["decodes"]
    assert pipeline.bucket.read(row["key"]) == distinct_jpeg(60)


def test_a_good_image_that_is_replaced_by_a_bad_one_leaves_the_data(pipeline):
    pipeline.ingest()
    pipeline.write("glioma/00.jpg", b"")
    pipeline.ingest()
    result = pipeline.make("image_manifest", "current_statistics")
    assert result.success
    manifest = pipeline.manifest().set_index("path")
    assert len(manifest) == len(GOOD)
    assert not manifest.loc["glioma/00.jpg", "decodes"]
    assert manifest.loc["glioma/00.jpg", "key"] not in set(result.output_for_node("current_statistics")["key"])


@pytest.mark.parametrize(
    "path",
    ["glioma/a b+c%20#?&'\".jpg", "glioma/Zoë 脑 🧠.jpg", "glioma/deep/er/still/x.JPG", f"glioma/{'n' * 240}.jpg"],
    ids=["signs", "unicode", "deep", "long"],
)
def test_names_that_are_unusual_are_kept_as_they_are(pipeline, path):
    pipeline.write(path, distinct_jpeg(61))
    pipeline.ingest()
    assert pipeline.make("image_manifest", "current_statistics").success
    row = pipeline.manifest().set_index("path").loc[path]
    assert row["decodes"]
    assert pipeline.bucket.read(row["key"]) == distinct_jpeg(61)


@pytest.mark.parametrize("blocked", ["data", "assets/raw_images"])
def test_a_place_in_the_bucket_that_cannot_be_written_fails_the_batch_and_records_nothing(pipeline, blocked):
    (batch,) = pipeline.look()
    # A file where a folder should be stops root too.
    in_the_way = pipeline.bucket.root / blocked
    in_the_way.write_text("in the way")
    errors = pipeline.errors_of(batch)
    assert "StorageError" in errors
    assert f"The bucket {pipeline.bucket.root} cannot be " in errors
    assert pipeline.recorded() == set()
    in_the_way.unlink()
    assert pipeline.ingest() == [batch]
    pipeline.assert_whole()


def mount(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture
def small_disk(pipeline) -> Iterator[Path]:
    """The bucket on a file system of its own, 64 KiB."""
    folder = pipeline.bucket.root
    folder.mkdir()
    if not mount(folder, "size=64k"):
        pytest.skip("a file system of one's own needs root on Linux")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_bucket_that_is_read_only_fails_the_batch_and_records_nothing(pipeline, small_disk):
    (batch,) = pipeline.look()
    assert mount(small_disk, "remount,ro")
    errors = pipeline.errors_of(batch)
    assert f"StorageError: The bucket {small_disk} cannot be written: Read-only file system." in errors
    assert pipeline.recorded() == set()
    assert mount(small_disk, "remount,rw,size=8m")
    assert pipeline.ingest() == [batch]
    pipeline.assert_whole()


def test_a_disk_that_gets_full_in_the_middle_of_a_batch_fails_it_and_with_room_it_is_read(pipeline, small_disk):
    (batch,) = pipeline.look()
    errors = pipeline.errors_of(batch)
    assert f"StorageError: The bucket {small_disk} cannot be written: No space left on device." in errors
    assert pipeline.recorded() == set()
    copied = list(pipeline.bucket.keys("data/"))
    assert 0 < len(copied) < len(GOOD)
    assert all(pipeline.bucket.read(key) == GOOD[key.removeprefix("data/Training/")] for key in copied)
    assert list(small_disk.rglob(".tmp-*")) == []
    assert mount(small_disk, "remount,size=8m")
    assert pipeline.ingest() == [batch]
    pipeline.assert_whole()


def test_a_manifest_that_cannot_be_kept_leaves_the_former_one(pipeline, small_disk):
    assert mount(small_disk, "remount,size=8m")
    pipeline.ingest()
    assert pipeline.make("image_manifest").success
    pipeline.write("glioma/new.jpg", distinct_jpeg(62))
    pipeline.ingest()
    assert mount(small_disk, "remount,ro")
    result = pipeline.make("image_manifest")
    (failure,) = result.get_step_failure_events()
    assert "Read-only file system" in str(failure.event_specific_data.error)
    assert set(pipeline.manifest()["path"]) == set(GOOD)
    assert [version.images for version in data_versions(pipeline.bucket)] == [len(GOOD)]
    assert len(pipeline.instance.fetch_materializations(dg.AssetKey("image_manifest"), limit=9).records) == 1
    assert mount(small_disk, "remount,rw")
    assert pipeline.make("image_manifest").success
    assert [version.images for version in data_versions(pipeline.bucket)] == [len(GOOD), len(GOOD) + 1]
