from datetime import UTC, datetime

import numpy as np
import pytest

from brain_core.bundle import (
    CONTENT_FILES,
    ChampionPointer,
    InferenceBundle,
    Manifest,
    OnnxSession,
    Provenance,
    load_bundle,
    load_manifest,
    read_champion,
    sha256,
)
from brain_core.errors import BundleError, ModelUnavailable
from brain_core.gate import Gate
from brain_core.labels import CLASSES
from brain_core.storage import CHAMPION_KEY, model_key, write_json
from tests.fixtures_bundle import tiny_gate

SIZE = 64


class FixedSession:
    """Answers with class 2, whose map has its evidence in one corner."""

    def run(self, images):
        n = len(images)
        maps = np.zeros((n, 2, 2, 4), np.float32)
        maps[:, 0, 0, 2] = 1
        return np.tile(np.array([0.1, 0.1, 0.7, 0.1], np.float32), (n, 1)), np.zeros((n, 3), np.float32), maps


def manifest(**changes) -> Manifest:
    values = {
        "version": "1",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "input_size": SIZE,
        "temperature": 1.0,
        "set_threshold": 0.8,
        "data_version": "d",
        "code_version": "c",
        "metrics": {},
        "provenance": Provenance(source="sample", feedback=False),
        "sha256": {name: sha256(name.encode()) for name in CONTENT_FILES},
    }
    return Manifest.model_validate(values | changes)


def publish(bucket, made: Manifest) -> None:
    for name in CONTENT_FILES:
        bucket.write(model_key(made.version, name), name.encode())
    write_json(bucket, model_key(made.version, "manifest.json"), made.model_dump(mode="json"))


@pytest.fixture
def gate() -> Gate:
    return tiny_gate()


def test_a_prediction_has_the_map_of_its_own_class(gate):
    bundle = InferenceBundle(manifest(), FixedSession(), gate)
    (inference,) = bundle.predict(np.zeros((1, SIZE, SIZE, 1), np.uint8))
    assert inference.predicted_class == "notumor"
    assert inference.activation_map.tolist() == [[1, 0], [0, 0]]
    assert bundle.is_uncertain(inference)


def test_an_altered_file_is_refused(bucket):
    publish(bucket, manifest())
    bucket.write(model_key("1", "model.onnx"), b"something else")
    with pytest.raises(BundleError, match=r"model\.onnx of the bundle '1' is not the file that was published"):
        load_bundle(bucket, "1")


@pytest.mark.parametrize("name", CONTENT_FILES)
def test_a_missing_file_is_named(bucket, name):
    publish(bucket, manifest())
    bucket.delete(model_key("1", name))
    with pytest.raises(BundleError, match=f"lacks {name}"):
        load_bundle(bucket, "1")


def test_a_bundle_without_manifest_does_not_exist(bucket):
    with pytest.raises(BundleError, match="no bundle '7'"):
        load_manifest(bucket, "7")


def test_a_manifest_of_a_newer_schema_asks_for_an_update(bucket):
    publish(bucket, manifest(schema_version=99))
    with pytest.raises(BundleError, match="schema 99"):
        load_manifest(bucket, "1")


def test_another_class_order_is_refused(bucket):
    publish(bucket, manifest(classes=tuple(reversed(CLASSES))))
    with pytest.raises(BundleError, match="has the classes"):
        load_manifest(bucket, "1")


def test_a_damaged_manifest_is_refused(bucket):
    write_json(bucket, model_key("1", "manifest.json"), {"version": "1"})
    with pytest.raises(BundleError, match="is not valid"):
        load_manifest(bucket, "1")


def test_bytes_that_are_no_model_are_refused():
    with pytest.raises(BundleError, match="cannot be loaded"):
        OnnxSession(b"not a model")


def test_without_a_champion_the_model_is_unavailable(bucket):
    with pytest.raises(ModelUnavailable, match="No model has been published yet"):
        read_champion(bucket)


def test_the_champion_pointer_is_read(bucket):
    pointer = ChampionPointer(version="3", sha256="0", promoted_at=datetime(2026, 1, 1, tzinfo=UTC), promoted_by="run")
    write_json(bucket, CHAMPION_KEY, pointer.model_dump(mode="json"))
    assert read_champion(bucket) == pointer
