"""Predictions on this machine's files, without server or database: which model, and what it says about a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import numpy as np

from brain_cli.image_files import Unreadable, printable, read_bounded
from brain_core.bundle import (
    MANIFEST_FILE,
    BundleFiles,
    InferenceBundle,
    Judgement,
    bucket_files,
    folder_files,
    load_files,
    read_champion,
    sha256,
)
from brain_core.errors import BundleError, InvalidImage, ModelUnavailable, ObjectNotFound
from brain_core.explain import explanation_png, peak
from brain_core.imaging import DecodedImage, ImageLimits, decode, model_tensor
from brain_core.labels import CLASSES, NOTICE
from brain_core.settings import Settings
from brain_core.storage import Bucket, open_bucket

RECORD_FIELDS = (
    "path",
    "is_valid",
    "rejection_reason",
    "histogram_correlation",
    "gate_score",
    "predicted_class",
    "probabilities",
    "confidence",
    "is_uncertain",
    "activation_peak",
)

FILES_AT_ONCE = 8
"""Files that one thread judges together, see `OfflineModel.judge`; more gain nothing and need more memory."""


@dataclass(frozen=True)
class JudgedFile:
    """One file, decoded and judged."""

    path: str
    image: DecodedImage
    judgement: Judgement


@dataclass(frozen=True)
class OfflineModel:
    """A loaded bundle.

    Attributes:
        bundle: loaded for one image at a time in each thread.
        files: where its files are.
        origin: where it comes from, for a reader: `the champion of …`.
        limits: what is accepted as an image.
    """

    bundle: InferenceBundle
    files: BundleFiles
    origin: str
    limits: ImageLimits

    @property
    def title(self) -> str:
        """Version and origin: a sentence."""
        return f"Model: version {self.bundle.manifest.version}, {self.origin}."

    def read(self, path: str) -> DecodedImage:
        """Read and decode one file.

        Raises:
            InvalidImage: it cannot be read or is no image that is accepted.
        """
        return decode(read_bounded(path, self.limits.max_bytes), self.limits)

    def judge(self, images: Sequence[DecodedImage]) -> list[Judgement]:
        """What the gate and the model say about each image.

        First the model sees all, then the gate: the model's weights and the gate's thumbnails push each other out of
        the processor's cache, which costs a tenth of the time when they take turns image by image. The model sees them
        one by one, since larger batches are slower on a CPU; the gate sees them together, which is twice as fast.

        Raises:
            BundleError: the model cannot be run, or its answer is not a number.
        """
        bundle, size = self.bundle, self.bundle.manifest.input_size
        inferences = [bundle.predict(model_tensor(image, size)[np.newaxis])[0] for image in images]
        if not all(np.isfinite(inference.probabilities).all() for inference in inferences):
            raise BundleError(f"The model of the bundle {self.files.name} gives no finite numbers. Use another bundle.")
        decisions = bundle.gate.check_all(images)
        return [Judgement(decision, inference) for decision, inference in zip(decisions, inferences, strict=True)]

    def judge_files(self, paths: Sequence[str]) -> list[JudgedFile | Unreadable]:
        """Read and judge a few files, all of which are in memory together; in their order.

        Raises:
            BundleError: see `judge`.
        """
        decoded = [self._decoded(path) for path in paths]
        judgements = iter(self.judge([item for item in decoded if isinstance(item, DecodedImage)]))
        return [
            item if isinstance(item, Unreadable) else JudgedFile(path, item, next(judgements))
            for path, item in zip(paths, decoded, strict=True)
        ]

    def record(self, judged: JudgedFile | Unreadable) -> dict[str, Any]:
        """`RECORD_FIELDS` of a file, ready for JSON, those of the class for refused images too; or path and error."""
        if isinstance(judged, Unreadable):
            return judged.as_record()
        decision, inference = judged.judgement.decision, judged.judgement.inference
        return {
            "path": printable(judged.path),
            "is_valid": decision.is_valid,
            "rejection_reason": decision.reason,
            "histogram_correlation": decision.histogram_correlation,
            "gate_score": decision.score,
            "predicted_class": inference.predicted_class,
            "probabilities": dict(zip(CLASSES, inference.probabilities.tolist(), strict=True)),
            "confidence": inference.confidence,
            "is_uncertain": self.bundle.is_uncertain(inference),
            "activation_peak": list(peak(inference.activation_map)),
        }

    def explanation(self, path: str) -> bytes:
        """PNG of one file under the evidence for its predicted class, with what was predicted above it.

        Raises:
            InvalidImage: it cannot be read or is no image that is accepted.
            BundleError: see `judge`.
        """
        image = self.read(path)
        (judgement,) = self.judge([image])
        inference, reason = judgement.inference, judgement.decision.reason
        doubt = ", uncertain" if self.bundle.is_uncertain(inference) else ""
        answer = f"{inference.predicted_class}, probability {inference.confidence:.1%}{doubt}"
        refusal = [f"Refused by the upload gate: {reason}"] if reason else []
        legend = f"Colours and line: evidence for {inference.predicted_class}; ring: its maximum."
        model = f"Model: version {self.bundle.manifest.version}."
        return explanation_png(image.grey, inference.activation_map, [answer, *refusal, legend, model, NOTICE])

    def _decoded(self, path: str) -> DecodedImage | Unreadable:
        try:
            return self.read(path)
        except InvalidImage as exc:
            return Unreadable(path, str(exc))


def open_model(settings: Settings, folder: Path | None = None) -> OfflineModel:
    """Load a bundle: that of a folder, or the published champion, or the bundled one while there is no champion.

    Args:
        settings: name the bucket and the limits of an image.
        folder: of a bundle; left out, the champion is taken.

    Raises:
        BundleError: the bundle is missing, altered or of another version.
        ModelUnavailable: there is neither a champion nor a bundled model, or the settings leave that out.
        StorageError: the bucket is away.
    """
    files, origin = (folder_files(folder), f"of the folder {folder}") if folder else _published_or_bundled(settings)
    limits = ImageLimits(settings.upload.max_bytes, settings.upload.max_pixels)
    return OfflineModel(load_files(files, threads=1), files, origin, limits)


def bundled_folder() -> Path:
    """Where the model lies that comes with the product; it need not be there."""
    return Path(str(package_files("brain_assets"))) / "pretrained" / "bundle"


def _published_or_bundled(settings: Settings) -> tuple[BundleFiles, str]:
    bucket = open_bucket(settings.bucket_uri)
    try:
        return _champion_files(bucket), f"the champion of {settings.bucket_uri}"
    except ModelUnavailable as exc:
        folder = bundled_folder()
        if not settings.model.bundled or not (folder / MANIFEST_FILE).is_file():
            raise ModelUnavailable(f"{exc} Or name a bundle with --bundle DIR.") from exc
        return folder_files(folder), f"bundled with the product, since {settings.bucket_uri} has no champion"


def _champion_files(bucket: Bucket) -> BundleFiles:
    pointer = read_champion(bucket)
    files = bucket_files(bucket, pointer.version)
    try:
        manifest = files.read(MANIFEST_FILE)
    except ObjectNotFound as exc:
        raise BundleError(f"There is no bundle of the champion {pointer.version!r} in the bucket.") from exc
    if sha256(manifest) != pointer.sha256:
        raise BundleError(f"{MANIFEST_FILE} of the champion {pointer.version!r} is not the one that was promoted.")
    return files
