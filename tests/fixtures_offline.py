"""Bundles in folders and images in class folders, for the commands on files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_assets.ml.statistics import image_statistics
from brain_core import bundle as bundles
from brain_core.descriptors import thumbnail
from brain_core.gate import Gate, KnownImages
from brain_core.labels import CLASSES
from brain_core.storage import LocalBucket
from tests.fixtures_bundle import slice_jpeg, tiny_gate, upload_bundle


def bundle_folder(
    root: Path, version: str = "7", split: pd.DataFrame | bytes | None = None, gate: Gate | None = None
) -> Path:
    """The folder of a tiny bundle; `split` becomes its split.parquet."""
    upload_bundle(LocalBucket(root), version, **({"gate": gate.to_bytes()} if gate else {}))
    folder = root / "models" / version
    if split is not None:
        data = split if isinstance(split, bytes) else split.to_parquet()
        (folder / bundles.SPLIT_FILE).write_bytes(data)
        manifest = json.loads((folder / bundles.MANIFEST_FILE).read_bytes())
        manifest["sha256"][bundles.SPLIT_FILE] = bundles.sha256(data)
        (folder / bundles.MANIFEST_FILE).write_text(json.dumps(manifest))
    return folder


def gate_that_knows(pixels: NDArray[np.uint8]) -> Gate:
    """A gate whose only known image has the thumbnail of uint8 (H, W)."""
    gate = tiny_gate()
    one = KnownImages(**{name: array[:1] for name, array in vars(gate.known).items()})
    return Gate(replace(one, thumbnails=thumbnail(pixels)[np.newaxis]), gate.trees, gate.threshold)


def class_folders(root: Path, images_by_class: int = 3) -> Path:
    """A folder of class folders with slices that the tiny model classifies rightly: `glioma/0.jpg` and so on."""
    for label in CLASSES:
        (root / label).mkdir(parents=True)
        for seed in range(images_by_class):
            (root / label / f"{seed}.jpg").write_bytes(slice_jpeg(label, seed))
    return root


def split_of(root: Path, parts: dict[str, str]) -> pd.DataFrame:
    """`pixel_sha256` and `part` of the named files, as the pipeline makes them."""
    manifest = pd.DataFrame({"key": list(parts), "label": "", "decodes": True})
    statistics = image_statistics(LocalBucket(root), manifest)
    return pd.DataFrame({"pixel_sha256": statistics["pixel_sha256"], "part": list(parts.values())})
