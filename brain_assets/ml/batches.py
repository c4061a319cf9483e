"""Which images of the source are new, in batches: only those are read.

The listing is a table in the bucket, one row an image that the source holds now. `mark` changes whenever an image is
replaced, and every pair of path and mark belongs to one batch. A batch is the partition of `raw_images`.
"""

from dataclasses import dataclass

import pandas as pd

from brain_assets.asset_store import read_table
from brain_assets.ml.sources import Source, SourceImage, fingerprint
from brain_core.errors import ObjectNotFound, SourceMissing
from brain_core.storage import Bucket, asset_key

LISTING_COLUMNS = ("path", "label", "published_split", "mark", "batch")
LISTING_KEY = asset_key("source_images", "listing.parquet")
BATCH_ASSETS = ("raw_images", "image_statistics")
"""What is kept of a batch."""


@dataclass(frozen=True)
class Plan:
    """What the source holds.

    Attributes:
        fingerprint: hash of the listing and of the mark of the annotations.
        batches: names of all batches that hold an image of the listing, in the order in which they were found.
        images: number of images in the listing.
        new_images: how many of them were not in the former listing.
        removed_images: how many of the former listing are gone or replaced.
    """

    fingerprint: str
    batches: tuple[str, ...]
    images: int
    new_images: int
    removed_images: int


def plan_batches(source: Source, bucket: Bucket, batch_size: int) -> Plan:
    """List the source, put images that are new or replaced into new batches, and keep the listing.

    Other annotations give another fingerprint and the same batches: no image is read again for them.

    Safe to repeat: the same listing gives the same batches, also after a crash in the middle.

    Args:
        source: where images come from.
        bucket: where the listing is kept.
        batch_size: most images in a batch.

    Raises:
        SourceError: the source cannot be used, see `Source.list`; the former listing stays.
        StorageError: the bucket is away.
    """
    annotations_mark = source.annotations_mark()
    found = pd.DataFrame([vars(image) for image in source.list()], columns=list(LISTING_COLUMNS[:-1]))
    before = _former_listing(bucket)
    listing = found.merge(before[["path", "mark", "batch"]], on=["path", "mark"], how="left", validate="one_to_one")
    is_new = listing["batch"].isna().to_numpy()
    listing.loc[is_new, "batch"] = _new_batches(listing[is_new], before, batch_size)
    if is_new.any() or len(listing) != len(before):
        bucket.write(LISTING_KEY, listing.to_parquet(index=False))
    return Plan(
        fingerprint=fingerprint(_images(listing), annotations_mark),
        batches=tuple(sorted(listing["batch"].unique())),
        images=len(listing),
        new_images=int(is_new.sum()),
        removed_images=len(before) - int((~is_new).sum()),
    )


def read_listing(bucket: Bucket) -> pd.DataFrame:
    """The listing: `LISTING_COLUMNS`, sorted by path.

    Raises:
        SourceMissing: the source was never listed.
        StorageError: the bucket is away.
    """
    try:
        return read_table(bucket, LISTING_KEY)
    except ObjectNotFound as exc:
        raise SourceMissing("The source was not listed yet. Wait for `source_sensor`, or start `brain up`.") from exc


def images_of(listing: pd.DataFrame, batch: str) -> list[SourceImage]:
    """The images of one batch that the source still holds."""
    return _images(listing[listing["batch"] == batch])


def kept_batches(bucket: Bucket) -> set[str]:
    """Names of the batches of which the bucket holds everything, whatever was read once into another bucket.

    Raises:
        StorageError: the bucket is away.
    """
    kept = [{key.split("/")[2] for key in bucket.keys(asset_key(name, ""))} for name in BATCH_ASSETS]
    return set.intersection(*kept)


def join_batches(listing: pd.DataFrame, raw_images: pd.DataFrame) -> pd.DataFrame:
    """The rows of all batches that the listing still holds, sorted by key.

    Args:
        listing: as `read_listing` gives it.
        raw_images: the rows of all batches, as `ingestion.ingest` makes them, with `batch`.

    Raises:
        SourceMissing: a batch of the listing was not ingested.
    """
    missing = sorted(set(listing["batch"]) - set(raw_images["batch"]))
    if missing:
        raise SourceMissing(f"Batch {missing[0]} was not ingested yet. Run the job ingest_batch for it.")
    current = listing[["path", "batch"]].merge(raw_images, on=["path", "batch"], validate="one_to_one")
    return current.sort_values("key", ignore_index=True)


def of_manifest(statistics: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """The statistics of the images that the manifest holds and that decode, in its order."""
    good = manifest.loc[manifest["decodes"].astype(bool), ["key", "batch"]]
    return good.merge(statistics, on=["key", "batch"], validate="one_to_one")


def _former_listing(bucket: Bucket) -> pd.DataFrame:
    try:
        return read_listing(bucket)
    except SourceMissing:
        return pd.DataFrame(columns=list(LISTING_COLUMNS), dtype=str)


def _new_batches(rows: pd.DataFrame, before: pd.DataFrame, batch_size: int) -> list[str]:
    first = max((_number(batch) for batch in before["batch"].unique()), default=0) + 1
    names: list[str] = []
    for start in range(0, len(rows), batch_size):
        part = rows.iloc[start : start + batch_size]
        names += [_name(first + start // batch_size, part)] * len(part)
    return names


def _name(number: int, rows: pd.DataFrame) -> str:
    return f"{number:05d}-{fingerprint(_images(rows))[:8]}"


def _images(rows: pd.DataFrame) -> list[SourceImage]:
    return [SourceImage(*row) for row in rows[list(LISTING_COLUMNS[:-1])].itertuples(index=False)]


def _number(batch: str) -> int:
    return int(batch.partition("-")[0])
