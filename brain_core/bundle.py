"""The inference bundle: everything that serving needs of a model, in a few verified files.

`model.onnx` takes `images`, uint8 (N, S, S, 1) as `imaging.model_tensor` makes them, and gives
`probabilities` float32 (N, 4), calibrated, in the order of `labels.CLASSES`;
`embedding` float32 (N, E); `activation_map` float32 (N, h, w, 4), the evidence for each class.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brain_core.errors import BundleError, ModelUnavailable, ObjectNotFound
from brain_core.gate import Gate, GateDecision
from brain_core.golden import Golden
from brain_core.imaging import DecodedImage, model_tensor, resize
from brain_core.labels import CLASSES
from brain_core.storage import CHAMPION_KEY, Bucket, model_key, read_json

MODEL_FILE = "model.onnx"
GATE_FILE = "gate.npz"
SPLIT_FILE = "split.parquet"
REFERENCE_FILE = "reference.parquet"
GOLDEN_FILE = "golden.npz"
"""Optional: drawn pictures and the answers that the model gave them when it was made."""

MANIFEST_FILE = "manifest.json"
CONTENT_FILES = (MODEL_FILE, GATE_FILE, SPLIT_FILE, REFERENCE_FILE)
SCHEMA_VERSION = 1
GOLDEN_TOLERANCE = 1e-3
"""Other processors differ in the sixth digit; another preprocessing or a damaged graph in the first ones."""


class Provenance(BaseModel):
    """What a model was trained on."""

    source: Literal["sample", "public", "own"]
    feedback: bool


class Manifest(BaseModel):
    """What a bundle says about itself (`manifest.json`)."""

    model_config = ConfigDict(protected_namespaces=())

    schema_version: int = SCHEMA_VERSION
    version: str = Field(description="Version of the registered model.")
    created_at: datetime
    classes: tuple[str, ...] = CLASSES
    architecture: str = Field("", description="Name of the network, so that a retraining can start from it.")
    input_size: int = Field(description="Height and width of the model's input in pixels.")
    temperature: float = Field(gt=0, description="Divides the logits before the softmax, inside the graph.")
    set_threshold: float = Field(ge=0, le=1, description="Least probability of a class in the prediction set.")
    coverage: float = Field(0.95, gt=0, lt=1, description="Share of images whose true class is in that set.")
    data_version: str
    code_version: str
    metrics: dict[str, Any]
    provenance: Provenance
    sha256: dict[str, str] = Field(description="Hash of every other file of the bundle.")


class ChampionPointer(BaseModel):
    """Which bundle serving answers with (`models/champion.json`)."""

    version: str
    sha256: str = Field(description="Hash of the bundle's manifest.json.")
    promoted_at: datetime
    promoted_by: str
    history: tuple[str, ...] = Field((), description="The champions before, the last one first: the way back.")


class Session(Protocol):
    """Runs a model; hides ONNX Runtime."""

    def run(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities, embedding and activation map of uint8 (N, S, S, 1)."""


class OnnxSession:
    """A model in ONNX Runtime on the CPU."""

    OUTPUTS = ("probabilities", "embedding", "activation_map")

    def __init__(self, model: bytes, threads: int = 1) -> None:
        import onnxruntime

        # No answer about a patient's image is anyone else's business; only some builds would send anything.
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads would take the cores from the other requests.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as exc:
            raise BundleError(f"{MODEL_FILE} cannot be loaded: {exc}") from exc
        missing = set(self.OUTPUTS) - {output.name for output in self._session.get_outputs()}
        if missing:
            raise BundleError(f"{MODEL_FILE} lacks the outputs {sorted(missing)}.")

    def run(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities, embedding and activation map of uint8 (N, S, S, 1).

        Raises:
            BundleError: the model does not take such images.
        """
        try:
            probabilities, embedding, activation_map = self._session.run(list(self.OUTPUTS), {"images": images})
        except Exception as exc:
            raise BundleError(f"{MODEL_FILE} cannot be run: {exc}") from exc
        return probabilities, embedding, activation_map


@dataclass(frozen=True)
class Inference:
    """What the model says about one image.

    Attributes:
        probabilities: float32 (4,), sums to 1.
        embedding: float32 (E,).
        activation_map: float32 (h, w), the evidence for the predicted class.
    """

    probabilities: NDArray[np.float32]
    embedding: NDArray[np.float32]
    activation_map: NDArray[np.float32]

    @property
    def predicted_class(self) -> str:
        """The most probable class."""
        return CLASSES[int(self.probabilities.argmax())]

    @property
    def confidence(self) -> float:
        """Probability of the predicted class."""
        return float(self.probabilities.max())


@dataclass(frozen=True)
class InferenceBundle:
    """A loaded and verified model with its gate; `golden` is None in bundles from before there was one."""

    manifest: Manifest
    session: Session
    gate: Gate
    golden: Golden | None = None

    def check_golden(self) -> None:
        """Make sure that this machine's preprocessing and runtime give the answers that the model was published with.

        Raises:
            BundleError: an answer differs by more than `GOLDEN_TOLERANCE`.
        """
        if self.golden is None:
            return
        size = self.manifest.input_size
        given, _, _ = self.session.run(np.stack([resize(grey, size)[..., np.newaxis] for grey in self.golden.pictures]))
        worst = float(np.abs(given - self.golden.probabilities).max()) if given.shape == self.golden.shape else np.inf
        if not worst <= GOLDEN_TOLERANCE:
            raise BundleError(
                f"The bundle {self.manifest.version!r} answers its golden images otherwise than when it was made: "
                f"a probability differs by {worst:.4f}. Compare the versions of Pillow and ONNX Runtime."
            )

    def predict(self, images: NDArray[np.uint8]) -> list[Inference]:
        """Run the model on uint8 (N, S, S, 1) as `imaging.model_tensor` makes them."""
        probabilities, embeddings, maps = self.session.run(images)
        winners = probabilities.argmax(axis=-1)
        return [
            Inference(p, e, m[..., winner])
            for p, e, m, winner in zip(probabilities, embeddings, maps, winners, strict=True)
        ]

    def judge(self, image: DecodedImage) -> "Judgement":
        """Is it a brain MRI slice, and what does the model say? One run of the model, also for what is refused."""
        return self.judge_all([image])[0]

    def judge_all(self, images: Sequence[DecodedImage]) -> list["Judgement"]:
        """Judge images, in their order.

        The gate takes them together, in a fraction of the time. The model takes one at a time: its processor time an
        image is the same, and its memory would grow with their number.
        """
        size = self.manifest.input_size
        inferences = [self.predict(model_tensor(image, size)[np.newaxis])[0] for image in images]
        decisions = self.gate.check_all(images)
        return [Judgement(*pair) for pair in zip(decisions, inferences, strict=True)]

    def is_uncertain(self, inference: Inference) -> bool:
        """Does the prediction set hold none or several classes?

        The set holds every class with at least the manifest's `set_threshold` (split conformal prediction).
        """
        return int((inference.probabilities >= self.manifest.set_threshold).sum()) != 1


@dataclass(frozen=True)
class Judgement:
    """What the gate and the model say about one image."""

    decision: GateDecision
    inference: Inference


@dataclass(frozen=True)
class BundleFiles:
    """Where the files of one bundle are read from.

    Attributes:
        name: what messages call the bundle.
        read: a file's bytes by its name; raises `ObjectNotFound` where there is none.
    """

    name: str
    read: Callable[[str], bytes]


def bucket_files(bucket: Bucket, version: str) -> BundleFiles:
    """The files of a published version."""
    return BundleFiles(repr(version), lambda name: bucket.read(model_key(version, name)))


def folder_files(folder: Path) -> BundleFiles:
    """The files of a bundle in a folder on disk."""

    def read(name: str) -> bytes:
        try:
            return (folder / name).read_bytes()
        except OSError as exc:
            raise ObjectNotFound(f"{folder / name} cannot be read: {exc.strerror}.") from exc

    return BundleFiles(str(folder), read)


def load_bundle(bucket: Bucket, version: str, threads: int = 1) -> InferenceBundle:
    """Read, verify and load the bundle of a version; see `load_files`."""
    return load_files(bucket_files(bucket, version), threads)


def load_files(files: BundleFiles, threads: int = 1) -> InferenceBundle:
    """Read, verify and load a bundle.

    Raises:
        BundleError: a file is missing, altered or of another version.
        StorageError: the bucket is away.
    """
    manifest = read_manifest(files)
    contents = {name: verified(files, manifest, name) for name in CONTENT_FILES}
    golden = Golden.from_bytes(verified(files, manifest, GOLDEN_FILE)) if GOLDEN_FILE in manifest.sha256 else None
    session = OnnxSession(contents[MODEL_FILE], threads)
    return InferenceBundle(manifest, session, Gate.from_bytes(contents[GATE_FILE]), golden)


def load_manifest(bucket: Bucket, version: str) -> Manifest:
    """The manifest of a version; see `read_manifest`."""
    return read_manifest(bucket_files(bucket, version))


def read_manifest(files: BundleFiles) -> Manifest:
    """A bundle's manifest, checked against what this code understands.

    Raises:
        BundleError: there is none, or it is of a newer schema or another class order.
    """
    try:
        manifest = Manifest.model_validate(json.loads(files.read(MANIFEST_FILE)))
    except ObjectNotFound as exc:
        raise BundleError(f"There is no bundle {files.name}: it has no {MANIFEST_FILE}.") from exc
    except ValueError as exc:
        raise BundleError(f"{MANIFEST_FILE} of the bundle {files.name} is not valid: {exc}") from exc
    if manifest.schema_version > SCHEMA_VERSION:
        raise BundleError(f"The bundle has schema {manifest.schema_version}; this code knows {SCHEMA_VERSION}. Update.")
    if manifest.classes != CLASSES:
        raise BundleError(f"The bundle has the classes {manifest.classes}, not {CLASSES}.")
    return manifest


def verified(files: BundleFiles, manifest: Manifest, name: str) -> bytes:
    """A file's bytes, if they are those that the manifest names.

    Raises:
        BundleError: the file is missing or another one.
        StorageError: the bucket is away.
    """
    try:
        data = files.read(name)
    except ObjectNotFound as exc:
        raise BundleError(f"The bundle {files.name} lacks {name}.") from exc
    if sha256(data) != manifest.sha256.get(name):
        raise BundleError(f"{name} of the bundle {files.name} is not the file that was published (sha256 differs).")
    return data


def read_champion(bucket: Bucket) -> ChampionPointer:
    """The published champion.

    Raises:
        ModelUnavailable: none has been published yet.
        BundleError: the pointer is not one.
    """
    try:
        return ChampionPointer.model_validate(read_json(bucket, CHAMPION_KEY))
    except ObjectNotFound as exc:
        raise ModelUnavailable("No model has been published yet. Let the pipeline finish its first build.") from exc
    except ValidationError as exc:
        raise BundleError(f"{CHAMPION_KEY} is not valid: {exc}") from exc


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()
