import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.ml.ingestion import MANIFEST_COLUMNS, in_threads, load_tensors
from brain_assets.ml.sources import FolderSource, SampleSource, Source, SourceImage, SourceImages
from brain_core.bundle import sha256
from brain_core.errors import ObjectNotFound, SourceEmpty, SourceMissing, StorageError, UnsupportedImageType
from brain_core.imaging import MODEL_SIZE, decode, encode_png, model_tensor
from brain_core.storage import LocalBucket
from tests.fixtures_images import distinct_jpeg, distinct_pixels, ingest_all, through_parquet, write_images


class CountingBucket(LocalBucket):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.written: list[str] = []

    def write(self, key: str, data: bytes) -> None:
        self.written.append(key)
        super().write(key, data)


class OneImage:
    """A source of one image with given bytes."""

    name = "own"

    def __init__(self, data: bytes) -> None:
        self._data = data

    def list(self) -> SourceImages:
        return [SourceImage("glioma/one.jpg", "glioma", "")]

    def read(self, image: SourceImage) -> bytes:
        return self._data


def test_manifest_describes_every_image_sorted_by_key(image_folder: Path, bucket: LocalBucket):
    manifest = ingest_all(FolderSource(image_folder), bucket)
    assert tuple(manifest.columns) == MANIFEST_COLUMNS
    assert manifest["key"].is_monotonic_increasing
    first = manifest.iloc[0].to_dict()
    data = (image_folder / "Testing/glioma/c.jpg").read_bytes()
    assert first == {
        "key": "data/Testing/glioma/c.jpg",
        "path": "Testing/glioma/c.jpg",
        "label": "glioma",
        "published_split": "Testing",
        "source": "own",
        "sha256": sha256(data),
        "size_bytes": len(data),
        "width": 64,
        "height": 64,
        "format": "JPEG",
        "decodes": True,
        "reason": None,
    }


def test_images_are_copied_unchanged(image_folder: Path, bucket: LocalBucket):
    manifest = ingest_all(FolderSource(image_folder), bucket)
    assert list(bucket.keys("data/")) == manifest["key"].tolist()
    for key in manifest["key"]:
        assert bucket.read(key) == (image_folder / key.removeprefix("data/")).read_bytes()


def test_plain_layout_goes_to_training_without_a_published_split(tmp_path: Path, bucket: LocalBucket):
    manifest = ingest_all(FolderSource(write_images(tmp_path / "plain", ("notumor/deep/x.jpg",))), bucket)
    assert manifest.loc[0, ["key", "published_split"]].tolist() == ["data/Training/notumor/deep/x.jpg", ""]
    assert bucket.exists("data/Training/notumor/deep/x.jpg")


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty"), (b"hello", "neither JPEG nor PNG"), (distinct_jpeg(0, 200)[:900], "damaged or truncated")],
)
def test_undecodable_image_is_listed_with_its_reason_and_not_copied(
    image_folder: Path, bucket: LocalBucket, data: bytes, reason: str
):
    (image_folder / "Training/glioma/broken.jpg").write_bytes(data)
    manifest = ingest_all(FolderSource(image_folder), bucket)
    row = manifest.set_index("key").loc["data/Training/glioma/broken.jpg"]
    assert not row["decodes"]
    assert reason in row["reason"]
    assert (row["width"], row["height"], row["format"]) == (0, 0, "")
    assert not bucket.exists("data/Training/glioma/broken.jpg")
    assert manifest["decodes"].sum() == len(manifest) - 1


def test_second_run_writes_only_what_changed(image_folder: Path, tmp_path: Path):
    bucket = CountingBucket(tmp_path / "bucket")
    before = ingest_all(FolderSource(image_folder), bucket)
    bucket.written.clear()
    assert ingest_all(FolderSource(image_folder), bucket).equals(before)
    assert bucket.written == []
    (image_folder / "Training/glioma/a.jpg").write_bytes(distinct_jpeg(99))
    ingest_all(FolderSource(image_folder), bucket)
    assert bucket.written == ["data/Training/glioma/a.jpg"]
    assert bucket.read("data/Training/glioma/a.jpg") == distinct_jpeg(99)


def test_progress_counts_every_image(image_folder: Path, bucket: LocalBucket):
    calls: list[tuple[int, int]] = []
    ingest_all(FolderSource(image_folder), bucket, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_manifest_survives_parquet(image_folder: Path, bucket: LocalBucket):
    (image_folder / "Training/glioma/broken.jpg").write_bytes(b"?")
    manifest = ingest_all(FolderSource(image_folder), bucket)
    assert through_parquet(manifest).equals(manifest)


def test_sample_is_ingested_as_sample(bucket: LocalBucket):
    manifest = ingest_all(SampleSource(count=4), bucket)
    assert manifest["source"].unique().tolist() == ["sample"]
    assert manifest["decodes"].all()


def test_empty_source_is_an_error(tmp_path: Path, bucket: LocalBucket):
    with pytest.raises(SourceEmpty):
        ingest_all(FolderSource(tmp_path), bucket)


def test_image_that_cannot_be_read_is_an_error(image_folder: Path, bucket: LocalBucket):
    (image_folder / "Training/glioma/dangling.jpg").symlink_to(image_folder / "nowhere.jpg")
    with pytest.raises(SourceMissing, match=r"dangling\.jpg"):
        ingest_all(FolderSource(image_folder), bucket)


def test_bucket_that_is_away_is_an_error(image_folder: Path, tmp_path: Path):
    (tmp_path / "blocked").write_text("a file where the bucket's folder should be")
    with pytest.raises(StorageError):
        ingest_all(FolderSource(image_folder), LocalBucket(tmp_path / "blocked"))


@settings(max_examples=40)
@given(data=st.one_of(st.binary(max_size=64), st.binary(max_size=64).map(lambda tail: distinct_jpeg(0)[:-64] + tail)))
def test_any_bytes_give_one_row_that_agrees_with_the_bucket(data: bytes, tmp_path_factory: pytest.TempPathFactory):
    bucket = LocalBucket(tmp_path_factory.mktemp("bucket"))
    row = ingest_all(OneImage(data), bucket).iloc[0]
    assert row["decodes"] == (row["reason"] is None) == bucket.exists("data/Training/glioma/one.jpg")
    assert (row["sha256"], row["size_bytes"]) == (sha256(data), len(data))


def test_tensors_are_the_models_input_in_the_order_of_the_keys(bucket: LocalBucket):
    bucket.write("a.jpg", distinct_jpeg(1))
    bucket.write("b.png", encode_png(distinct_pixels(2, size=300)))
    tensors = load_tensors(bucket, ["b.png", "a.jpg"])
    assert (tensors.shape, tensors.dtype) == ((2, MODEL_SIZE, MODEL_SIZE, 1), np.uint8)
    assert np.array_equal(tensors[0], model_tensor(decode(bucket.read("b.png"))))
    assert np.array_equal(tensors[1], model_tensor(decode(bucket.read("a.jpg"))))


def test_tensors_of_no_keys_are_empty(bucket: LocalBucket):
    assert load_tensors(bucket, []).shape == (0, MODEL_SIZE, MODEL_SIZE, 1)


def test_tensors_of_a_missing_or_undecodable_object_are_an_error(bucket: LocalBucket):
    bucket.write("text.jpg", b"hello")
    with pytest.raises(ObjectNotFound):
        load_tensors(bucket, ["missing.jpg"])
    with pytest.raises(UnsupportedImageType):
        load_tensors(bucket, ["text.jpg"])


def test_error_in_a_thread_cancels_what_has_not_begun():
    begun: list[int] = []

    def fail_at_once(item: int) -> None:
        begun.append(item)
        time.sleep(0.01)
        raise StorageError("away")

    with pytest.raises(StorageError, match="away"):
        list(in_threads(fail_at_once, range(500)))
    assert len(begun) < 500


@pytest.mark.real_data
def test_real_images_all_decode(real_subset: Source, bucket: LocalBucket):
    manifest = ingest_all(real_subset, bucket)
    assert manifest["decodes"].all()
    assert manifest["source"].unique().tolist() == ["public"]
    assert load_tensors(bucket, manifest["key"].tolist()).std() > 20
