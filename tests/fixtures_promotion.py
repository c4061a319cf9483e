"""Drawn slices that the tiny models of `fixtures_bundle` are compared on, and bundles of such models."""

import io
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from brain_assets.asset_store import ImageSet
from brain_assets.ml.judging import PromotionInputs
from brain_assets.ml.records import RegisteredBundle
from brain_core.bundle import MANIFEST_FILE, SPLIT_FILE, load_manifest, sha256
from brain_core.imaging import encode_png
from brain_core.labels import CLASSES
from brain_core.storage import Bucket, model_key
from tests import fixtures_bundle
from tests.fixtures_bundle import CLASS_BRIGHTNESS, drawn_slice

COUNT = 60
SIZE = fixtures_bundle.SIZE


def slice_key(index: int) -> str:
    return f"data/Testing/{index:02}.png"


def write_slices(bucket: Bucket) -> None:
    """The drawn slices as files, so that they can be read in another size."""
    for index in range(COUNT):
        pixels = drawn_slice(CLASS_BRIGHTNESS[CLASSES[index % 4]], index, SIZE)
        bucket.write(slice_key(index), encode_png(pixels))


def drawn_test_set() -> ImageSet:
    """Slices of each class in turn, with a box that the maps of tumours do not all meet."""
    labels = np.arange(COUNT) % 4
    images = np.stack([drawn_slice(CLASS_BRIGHTNESS[CLASSES[label]], i, SIZE) for i, label in enumerate(labels)])
    boxes = np.where((labels == 2)[:, np.newaxis], np.nan, np.array([0.2, 0.2, 0.8, 0.8])).astype(np.float32)
    keys = np.array([slice_key(index) for index in range(COUNT)])
    return ImageSet(images[..., np.newaxis], labels, np.arange(COUNT), keys, boxes)


def drawn_splits() -> pd.DataFrame:
    """Every slice is a group and a component of its own; there is one training image too."""
    keys = [*(slice_key(index) for index in range(COUNT)), "data/Training/x.png"]
    return pd.DataFrame(
        {
            "key": keys,
            "group": range(COUNT + 1),
            "component": range(COUNT + 1),
            "part": ["test"] * COUNT + ["train"],
            "is_representative": True,
        }
    )


def drawn_statistics() -> pd.DataFrame:
    splits = drawn_splits()
    return pd.DataFrame({"key": splits["key"], "pixel_sha256": [f"pixels of {key}" for key in splits["key"]]})


def promotion_inputs(version: str, **other: object) -> PromotionInputs:
    bundle = RegisteredBundle(version=version, run_id=f"run-{version}", parity=1e-7, gate_threshold=0.8, onnx_mb=0.1)
    return PromotionInputs(
        **{  # type: ignore[arg-type]
            "bundle": bundle,
            "test": drawn_test_set(),
            "splits": drawn_splits(),
            "statistics": drawn_statistics(),
            **other,
        }
    )


def sure_model() -> bytes:
    """The tiny model with evidence so strong that its confidence is near one, as often as it is right."""
    from onnx import load_from_string, numpy_helper

    model = load_from_string(fixtures_bundle.tiny_model())
    for constant in model.graph.initializer:
        constant.CopyFrom(numpy_helper.from_array(20 * numpy_helper.to_array(constant), constant.name))
    return model.SerializeToString()


def confused_model() -> bytes:
    """A model that takes gliomas for meningiomas and the other way round."""
    with pytest.MonkeyPatch.context() as patch:
        swapped = {
            **CLASS_BRIGHTNESS,
            "glioma": CLASS_BRIGHTNESS["meningioma"],
            "meningioma": CLASS_BRIGHTNESS["glioma"],
        }
        patch.setattr(fixtures_bundle, "CLASS_BRIGHTNESS", swapped)
        return sure_model()


def upload_model(bucket: Bucket, version: str, trained_on: Mapping[str, str] | None = None, **replaced: bytes) -> None:
    """Upload a tiny bundle of a sure model that knows these images.

    Args:
        bucket: the data bucket.
        version: of the model.
        trained_on: part of the split by the images' `pixel_sha256`.
        **replaced: see `fixtures_bundle.upload_bundle`.
    """
    fixtures_bundle.upload_bundle(bucket, version, **{"model": sure_model(), **replaced})
    known = trained_on or {}
    buffer = io.BytesIO()
    pd.DataFrame({"pixel_sha256": list(known), "part": list(known.values())}, dtype=str).to_parquet(buffer)
    bucket.write(model_key(version, SPLIT_FILE), buffer.getvalue())
    manifest = load_manifest(bucket, version)
    hashes = {**manifest.sha256, SPLIT_FILE: sha256(buffer.getvalue())}
    changed = manifest.model_copy(update={"sha256": hashes})
    bucket.write(model_key(version, MANIFEST_FILE), changed.model_dump_json().encode())
