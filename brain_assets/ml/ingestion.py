"""From the source into the bucket, and from the bucket into the model's tensors."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_assets.ml.sources import Source, SourceImage
from brain_core.bundle import sha256
from brain_core.errors import InvalidImage, ObjectNotFound
from brain_core.imaging import MODEL_SIZE, decode, model_tensor
from brain_core.storage import Bucket, dataset_image_key

MANIFEST_COLUMNS = (
    "key",
    "path",
    "label",
    "published_split",
    "source",
    "sha256",
    "size_bytes",
    "width",
    "height",
    "format",
    "decodes",
    "reason",
)
THREADS = 4

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with the number of images that are done, and of all."""


def ingest(
    source: Source, bucket: Bucket, images: Sequence[SourceImage], on_progress: Progress | None = None
) -> pd.DataFrame:
    """Copy every image that decodes to `data/<Training|Testing>/<class>/<file>`; safe to repeat.

    An image that is there already with the same bytes is not written again.

    Args:
        source: where the images are.
        bucket: where they are copied to.
        images: which of the source's images.
        on_progress: told of every image.

    Returns:
        One row an image, sorted by `key`, with `MANIFEST_COLUMNS`. Where `decodes` is false, `reason`
        says why, `width` and `height` are 0, and the image is not in the bucket.

    Raises:
        SourceError: the source cannot be used, see `Source.list`.
        StorageError: the bucket is away.
    """
    rows: list[dict[str, Any]] = []
    for row in in_threads(lambda image: _ingest_one(source, bucket, image), images):
        rows.append(row)
        if on_progress is not None:
            on_progress(len(rows), len(images))
    manifest = pd.DataFrame(rows, columns=[name for name in MANIFEST_COLUMNS if name != "source"])
    return manifest.assign(source=source.name)[list(MANIFEST_COLUMNS)].sort_values("key", ignore_index=True)


def load_tensors(bucket: Bucket, keys: Sequence[str], size: int = MODEL_SIZE) -> NDArray[np.uint8]:
    """The model's input for the images at `keys`: uint8 (N, S, S, 1), S being `size`.

    Raises:
        InvalidImage: one does not decode; take only keys whose manifest row says `decodes`.
        ObjectNotFound: one is not in the bucket.
    """
    tensors = np.empty((len(keys), size, size, 1), dtype=np.uint8)
    loaded = in_threads(lambda key: model_tensor(decode(bucket.read(key)), size), keys)
    for index, tensor in enumerate(loaded):
        tensors[index] = tensor
    return tensors


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map in a few threads, in order; an error or an interrupt cancels what has not begun."""
    with ThreadPoolExecutor(THREADS) as executor:
        yield from executor.map(function, items)


def _ingest_one(source: Source, bucket: Bucket, image: SourceImage) -> dict[str, Any]:
    data = source.read(image)
    key = dataset_image_key(image.published_split, image.path_in_split)
    columns = _decoded_columns(data)
    if columns["decodes"]:
        _write_if_changed(bucket, key, data)
    return {
        "key": key,
        "path": image.path,
        "label": image.label,
        "published_split": image.published_split,
        "sha256": sha256(data),
        "size_bytes": len(data),
        **columns,
    }


def _decoded_columns(data: bytes) -> dict[str, Any]:
    try:
        image = decode(data)
    except InvalidImage as exc:
        return {"width": 0, "height": 0, "format": "", "decodes": False, "reason": str(exc)}
    return {"width": image.width, "height": image.height, "format": image.format, "decodes": True, "reason": None}


def _write_if_changed(bucket: Bucket, key: str, data: bytes) -> None:
    try:
        if bucket.read(key) == data:
            return
    except ObjectNotFound:
        pass
    bucket.write(key, data)
