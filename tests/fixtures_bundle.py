"""A real, tiny champion: an ONNX model that ONNX Runtime runs, and a gate made from drawn slices.

The model tells bright from dark: a slice's class follows from its mean grey value, so that a test knows each answer.
"""

import io
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image, ImageDraw

from brain_core import bundle as bundles
from brain_core.descriptors import detail, histogram, thumbnail
from brain_core.gate import FEATURE_NAMES, Gate, KnownImages, Trees
from brain_core.golden import Golden
from brain_core.imaging import MODEL_SIZE, encode_jpeg, resize
from brain_core.labels import CLASSES
from brain_core.storage import CHAMPION_KEY, Bucket, LocalBucket, model_key, write_json
from brain_core.structure import structure

SIZE = MODEL_SIZE
CLASS_BRIGHTNESS = {"glioma": 60, "meningioma": 100, "notumor": 140, "pituitary": 180}
"""Grey value of the drawn brain that the model takes for each class."""


def drawn_slice(brightness: int = 100, seed: int = 0, size: int = 160) -> np.ndarray:
    """A brain-like ellipse on black: uint8 (size, size)."""
    rng = np.random.default_rng(seed)
    image = Image.new("L", (size, size))
    draw = ImageDraw.Draw(image)
    draw.ellipse([size * 0.14, size * 0.06, size * 0.86, size * 0.94], fill=brightness)
    x, y = rng.uniform(0.4, 0.6, 2) * size
    draw.ellipse([x - 6, y - 6, x + 6, y + 6], fill=brightness + 20)
    noise = rng.integers(0, 6, (size, size))
    return np.clip(np.asarray(image, dtype=np.int16) + noise, 0, 255).astype(np.uint8)


def slice_jpeg(label: str = "meningioma", seed: int = 0, size: int = 160) -> bytes:
    """JPEG of a slice that the model takes for `label`."""
    return encode_jpeg(drawn_slice(CLASS_BRIGHTNESS[label], seed, size), 95)


def photograph_jpeg(seed: int = 0) -> bytes:
    """JPEG of something colourful."""
    rng = np.random.default_rng(seed)
    pixels = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((320, 240))
    buffer = io.BytesIO()
    pixels.save(buffer, "JPEG")
    return buffer.getvalue()


def tiny_model() -> bytes:
    """ONNX bytes: pool, 1x1 convolution to the four classes' evidence, mean, softmax.

    Evidence for class c is `g * b - b * b / 2` with `b` the class's brightness: it is greatest for the nearest class.
    """
    from onnx import TensorProto, helper, numpy_helper

    # The drawn ellipse covers about half of the picture.
    centres = np.array([CLASS_BRIGHTNESS[name] for name in CLASSES], dtype=np.float32) * 0.51 / 20
    weights = centres.reshape(4, 1, 1, 1) / 20
    biases = -(centres**2) / 2
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["channels_first"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["channels_first"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Conv", ["pooled", "weights", "biases"], ["evidence"]),
        helper.make_node("Transpose", ["evidence"], ["activation_map"], perm=[0, 2, 3, 1]),
        helper.make_node("GlobalAveragePool", ["evidence"], ["means"]),
        helper.make_node("Flatten", ["means"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIZE, SIZE, 1])
    outputs = [
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 4]),
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", (SIZE // 16) ** 2]),
        helper.make_tensor_value_info("activation_map", TensorProto.FLOAT, ["N", SIZE // 16, SIZE // 16, 4]),
    ]
    constants = [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(biases, "biases")]
    graph = helper.make_graph(nodes, "tiny", [images], outputs, constants)
    return helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


def tiny_gate(threshold: float = 0.5) -> Gate:
    """A gate that knows a few drawn slices of each class; its one tree asks whether the best thumbnail is near."""
    slices = [drawn_slice(brightness, seed) for brightness in CLASS_BRIGHTNESS.values() for seed in range(3)]
    fines = [detail(grey) for grey in slices]
    built = structure(np.stack(fines))
    known = KnownImages(
        histograms=np.stack([histogram(grey) for grey in slices]).astype(np.float16),
        thumbnails=np.stack([thumbnail(fine, fine) for fine in fines]),
        bodies=built.bodies,
        gradients=built.gradients.astype(np.float16),
    )
    return Gate(known, stump("thumbnail_best", 0.8), threshold)


def stump(feature: str, limit: float) -> Trees:
    """A tree that asks one question: log-odds 4 where the feature is above the limit, -4 elsewhere."""
    typical = np.zeros(len(FEATURE_NAMES), np.float32)
    typical[FEATURE_NAMES.index(feature)] = limit + 0.1
    return Trees(
        feature=np.array([[FEATURE_NAMES.index(feature)]], np.int16),
        limit=np.array([[limit]], np.float32),
        remaining=np.array([[0b10]], np.uint16),
        value=np.array([[-4, 4]], np.float32),
        typical=typical,
    )


def golden_answers(error: float = 0.0) -> Golden:
    """A slice of each class with what the tiny model says of it; `error` is added to one probability."""
    pictures = np.stack([drawn_slice(brightness) for brightness in CLASS_BRIGHTNESS.values()])
    given, _, _ = bundles.OnnxSession(tiny_model()).run(np.stack([resize(p, SIZE)[..., np.newaxis] for p in pictures]))
    given = given.copy()
    given[0, 1] += error
    return Golden(pictures, given)


def upload_bundle(bucket: Bucket, version: str, **replaced: bytes) -> None:
    """Upload a bundle; `model=…` or `gate=…` takes the place of such a file, `golden=…` is added."""
    contents = {
        bundles.MODEL_FILE: replaced.get("model", tiny_model()),
        bundles.GATE_FILE: replaced.get("gate", tiny_gate().to_bytes()),
        bundles.SPLIT_FILE: b"",
        bundles.REFERENCE_FILE: b"",
    }
    if "golden" in replaced:
        contents[bundles.GOLDEN_FILE] = replaced["golden"]
    manifest = bundles.Manifest(
        version=version,
        created_at=datetime(2026, 11, 1, tzinfo=UTC),
        input_size=SIZE,
        temperature=1.0,
        set_threshold=0.5,
        data_version="drawn",
        code_version="test",
        metrics={"macro_f1": 1.0},
        provenance=bundles.Provenance(source="sample", feedback=False),
        sha256={name: bundles.sha256(data) for name, data in contents.items()},
    )
    for name, data in contents.items():
        bucket.write(model_key(version, name), data)
    write_json(bucket, model_key(version, bundles.MANIFEST_FILE), manifest.model_dump(mode="json"))


def promote(bucket: Bucket, version: str) -> None:
    """Point `models/champion.json` at a version."""
    manifest = bucket.read(model_key(version, bundles.MANIFEST_FILE))
    pointer = bundles.ChampionPointer(
        version=version, sha256=bundles.sha256(manifest), promoted_at=datetime.now(UTC), promoted_by="test"
    )
    write_json(bucket, CHAMPION_KEY, pointer.model_dump(mode="json"))


def publish_bundle(bucket: Bucket, version: str, **replaced: bytes) -> None:
    """Upload a bundle and make it the champion."""
    upload_bundle(bucket, version, **replaced)
    promote(bucket, version)


@pytest.fixture
def champion_bucket(bucket: LocalBucket) -> LocalBucket:
    """A bucket with the tiny model as its champion, version 1."""
    publish_bundle(bucket, "1")
    return bucket
