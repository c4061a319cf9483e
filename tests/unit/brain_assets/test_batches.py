from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.ml.batches import images_of, join_batches, kept_batches, of_manifest, plan_batches, read_listing
from brain_assets.ml.ingestion import ingest
from brain_assets.ml.sources import FolderSource, SourceImage, SourceImages
from brain_core.errors import SourceMissing
from brain_core.storage import LocalBucket


class Listed:
    """A source that holds the given paths with their marks."""

    name = "own"

    def __init__(self, marks: dict[str, str]) -> None:
        self.marks = marks
        self.mark_of_annotations = ""

    def list(self) -> SourceImages:
        return [SourceImage(path, "glioma", "", mark) for path, mark in sorted(self.marks.items())]

    def read(self, image: SourceImage) -> bytes:
        raise SourceMissing(image.path)

    def annotations(self) -> bytes | None:
        return None

    def annotations_mark(self) -> str:
        return self.mark_of_annotations


def batches_of(bucket: LocalBucket) -> dict[str, list[str]]:
    listing = read_listing(bucket)
    return {batch: rows["path"].tolist() for batch, rows in listing.groupby("batch")}


def test_all_images_are_new_at_first_and_fill_batches(bucket):
    plan = plan_batches(Listed({f"glioma/{n}.jpg": "1" for n in range(5)}), bucket, 2)
    assert (plan.images, plan.new_images, plan.removed_images) == (5, 5, 0)
    assert [len(paths) for paths in batches_of(bucket).values()] == [2, 2, 1]
    assert [name[:5] for name in plan.batches] == ["00001", "00002", "00003"]


def test_an_unchanged_source_gives_the_same_batches_and_writes_nothing(bucket):
    source = Listed({"glioma/a.jpg": "1"})
    first = plan_batches(source, bucket, 2)
    written = (bucket.root / "assets/source_images/listing.parquet").stat().st_mtime_ns
    again = plan_batches(source, bucket, 2)
    assert again.batches == first.batches
    assert again.fingerprint == first.fingerprint
    assert again.new_images == 0
    assert (bucket.root / "assets/source_images/listing.parquet").stat().st_mtime_ns == written


def test_other_annotations_give_another_fingerprint_and_the_same_batches(bucket):
    source = Listed({"glioma/a.jpg": "1"})
    plans = [plan_batches(source, bucket, 2)]
    for mark in ("first", "second", "second"):
        source.mark_of_annotations = mark
        plans.append(plan_batches(source, bucket, 2))
    assert [plan.new_images for plan in plans] == [1, 0, 0, 0]
    assert len({plan.batches for plan in plans}) == 1
    assert len({plan.fingerprint for plan in plans[:3]}) == 3
    assert plans[2].fingerprint == plans[3].fingerprint


def test_a_batch_is_kept_when_all_of_it_is_in_the_bucket(bucket):
    assert kept_batches(bucket) == set()
    for key in ("raw_images/00001-a", "image_statistics/00001-a", "raw_images/00002-b"):
        bucket.write(f"assets/{key}/value.parquet", b"")
    assert kept_batches(bucket) == {"00001-a"}


def test_added_and_replaced_images_make_a_new_batch_and_removed_ones_leave(bucket):
    source = Listed({"glioma/a.jpg": "1", "glioma/b.jpg": "1", "glioma/c.jpg": "1"})
    (first,) = plan_batches(source, bucket, 10).batches
    source.marks = {"glioma/a.jpg": "1", "glioma/b.jpg": "2", "glioma/d.jpg": "1"}
    plan = plan_batches(source, bucket, 10)
    assert (plan.images, plan.new_images, plan.removed_images) == (3, 2, 2)
    found = batches_of(bucket)
    assert found.pop(first) == ["glioma/a.jpg"]
    assert list(found.values()) == [["glioma/b.jpg", "glioma/d.jpg"]]


def test_a_removal_alone_is_noticed(bucket):
    source = Listed({"glioma/a.jpg": "1", "glioma/b.jpg": "1"})
    before = plan_batches(source, bucket, 10)
    del source.marks["glioma/b.jpg"]
    after = plan_batches(source, bucket, 10)
    assert after.fingerprint != before.fingerprint
    assert read_listing(bucket)["path"].tolist() == ["glioma/a.jpg"]


def test_a_source_that_was_never_listed_says_what_to_do(bucket):
    with pytest.raises(SourceMissing, match="brain up"):
        read_listing(bucket)


def test_a_batch_gives_its_images_back(bucket):
    plan = plan_batches(Listed({"glioma/a.jpg": "1", "glioma/b.jpg": "7"}), bucket, 1)
    assert images_of(read_listing(bucket), plan.batches[1]) == [SourceImage("glioma/b.jpg", "glioma", "", "7")]
    assert images_of(read_listing(bucket), "00009-none") == []


def test_the_manifest_holds_the_newest_rows_only(image_folder: Path, bucket: LocalBucket):
    source = FolderSource(image_folder)
    (first,) = plan_batches(source, bucket, 100).batches
    rows = [ingest(source, bucket, images_of(read_listing(bucket), first)).assign(batch=first)]
    replaced, removed = sorted(image_folder.rglob("*.jpg"))[:2]
    replaced.write_bytes(sorted(image_folder.rglob("*.jpg"))[-1].read_bytes())
    removed.unlink()
    (_, second) = plan_batches(source, bucket, 100).batches
    rows.append(ingest(source, bucket, images_of(read_listing(bucket), second)).assign(batch=second))
    manifest = join_batches(read_listing(bucket), pd.concat(rows))
    assert len(rows[1]) == 1
    assert len(manifest) == len(rows[0]) - 1
    assert manifest["key"].is_unique
    assert manifest.set_index("batch").loc[second, "path"] == replaced.relative_to(image_folder).as_posix()
    statistics = pd.concat(rows)[["key", "batch"]].assign(brightness=1.0)
    assert of_manifest(statistics, manifest)["key"].tolist() == manifest.loc[manifest["decodes"], "key"].tolist()


def test_a_batch_that_was_not_ingested_is_named(bucket):
    plan = plan_batches(Listed({"glioma/a.jpg": "1"}), bucket, 1)
    with pytest.raises(SourceMissing, match=f"Batch {plan.batches[0]} was not ingested"):
        join_batches(read_listing(bucket), pd.DataFrame({"batch": [], "path": [], "key": []}, dtype=str))


states = st.dictionaries(st.sampled_from([f"glioma/{n}.jpg" for n in range(8)]), st.sampled_from("123"), min_size=1)


@given(st.lists(states, min_size=1, max_size=4), st.integers(1, 4))
@settings(max_examples=40)
def test_whatever_happens_each_image_is_in_one_batch_and_none_is_read_twice(history, batch_size):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        bucket = LocalBucket(Path(folder))
        batch_of: dict[tuple[str, str], str] = {}
        for marks in history:
            plan = plan_batches(Listed(marks), bucket, batch_size)
            listing = read_listing(bucket)
            assert dict(zip(listing["path"], listing["mark"], strict=True)) == marks
            assert listing["batch"].value_counts().max() <= batch_size
            now = {(row.path, row.mark): row.batch for row in listing.itertuples()}
            kept = set(now) & set(batch_of)
            assert plan.new_images == len(set(now) - set(batch_of))
            assert all(now[image] == batch_of[image] for image in kept)
            batch_of = now
