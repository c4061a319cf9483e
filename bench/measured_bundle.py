"""The bundle that a benchmark measures, and the images that it was never trained on."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_assets.ml.annotations import annotate, read_annotations
from brain_assets.ml.pretrained import PRETRAINED_FOLDER
from brain_assets.ml.publishing import BUNDLE_FOLDER
from brain_core.bundle import SPLIT_FILE, BundleFiles, Manifest, folder_files, read_manifest
from brain_core.imaging import decode, model_tensor
from brain_core.labels import CLASSES

ANNOTATIONS_FILE = "annotations.csv"
IMAGE_FOLDER = "brain-tumor-mri"
NO_TUMOUR = "notumor"


@dataclass(frozen=True)
class MeasuredBundle:
    """A bundle in a folder.

    Attributes:
        folder: where its files lie.
        manifest: what it says about itself.
    """

    folder: Path
    manifest: Manifest

    @property
    def files(self) -> BundleFiles:
        """What `bundle.load_files` takes."""
        return folder_files(self.folder)

    def split(self) -> pd.DataFrame:
        """The images that it knew: `key`, `part`, `label`, and the component that an image belongs to."""
        known = pd.read_parquet(self.folder / SPLIT_FILE)
        label = known["key"].str.split("/").str[-2]
        return known.assign(label=label, component=known.get("component", known["group"]))


@dataclass(frozen=True)
class LabelledImages:
    """Images as the model takes them.

    Attributes:
        images: uint8 (N, S, S, 1).
        labels: int64 (N,), indices into `labels.CLASSES`.
        boxes: float64 (N, 4), x0, y0, x1, y1 of the tumour as fractions of the image; NaN where unknown.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]


def add_bundle_option(parser: argparse.ArgumentParser) -> None:
    """`--bundle DIR`; without it the model that comes with the package is measured."""
    parser.add_argument("--bundle", type=Path, default=PRETRAINED_FOLDER / BUNDLE_FOLDER, help="folder of the bundle")


def open_bundle(folder: Path) -> MeasuredBundle:
    """The bundle of a folder.

    Raises:
        BundleError: there is none.
    """
    return MeasuredBundle(folder, read_manifest(folder_files(folder)))


def annotated(bundle: MeasuredBundle, data: Path) -> pd.DataFrame:
    """The images of `data` that the bundle's split knows, with `path` and the tumour's box where it is known.

    Args:
        bundle: its split tells the part of each image.
        data: holds `brain-tumor-mri` in the public layout and, in it or beside it, `annotations.csv`.
    """
    known = bundle.split()
    known["path"] = ["/".join(key.split("/")[-3:]) for key in known["key"]]
    folder = data / IMAGE_FOLDER
    known = known[[(folder / path).is_file() for path in known["path"]]]
    table = next(path for path in (folder / ANNOTATIONS_FILE, data / ANNOTATIONS_FILE) if path.is_file())
    boxes = annotate(known.assign(sha256=""), read_annotations(table.read_bytes())).table
    return known.merge(boxes[["key", "x0", "y0", "x1", "y1"]], on="key").assign(folder=folder)


def components_in_turn(rows: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The rows in random order, first one of each component, then another: images of one patient say little more."""
    shuffled = rows.sample(frac=1, random_state=seed)
    turn = shuffled.groupby("component").cumcount()
    return shuffled.iloc[np.argsort(turn.to_numpy(), kind="stable")]


def balanced(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """The first `count` rows, taken from the classes in turn."""
    turn = rows.groupby("label").cumcount()
    return rows.iloc[np.argsort(turn.to_numpy(), kind="stable")].head(count)


def read_images(rows: pd.DataFrame, size: int) -> LabelledImages:
    """Decode the images of `rows` as serving does."""
    data = [(folder / path).read_bytes() for folder, path in zip(rows["folder"], rows["path"], strict=True)]
    return LabelledImages(
        images=np.stack([model_tensor(decode(one), size) for one in data]),
        labels=np.array([CLASSES.index(label) for label in rows["label"]], dtype=np.int64),
        boxes=rows[["x0", "y0", "x1", "y1"]].to_numpy(dtype=np.float64),
    )
