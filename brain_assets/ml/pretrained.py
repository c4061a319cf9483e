"""The model that comes with the package: verified, registered in MLflow, published where there is no champion yet.

Every step finds what an earlier, interrupted try left: the run by its tag, the version by its tag, the bundle by its
key; so it is repeated until the pointer is there, and makes neither a second run nor a second version.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy import Engine, text

from brain_assets.ml.figures import Evaluation
from brain_assets.ml.publishing import (
    BUNDLE_FOLDER,
    LOCK_ID,
    ChampionChanged,
    Stores,
    publish_champion,
    published_version,
    replace_champion,
    upload_bundle,
)
from brain_assets.ml.registry import CHAMPION, ModelRegistry, RegisteredVersion
from brain_core.bundle import (
    CONTENT_FILES,
    MANIFEST_FILE,
    MODEL_FILE,
    Manifest,
    folder_files,
    read_manifest,
    sha256,
    verified,
)
from brain_core.database import translated_errors
from brain_core.errors import BundleError, ObjectNotFound
from brain_core.storage import Bucket, model_key

PRETRAINED_FOLDER = Path(__file__).resolve().parent.parent / "pretrained"
MODEL_CARD_FILE = "model-card.md"
CARD_FOLDER = "evaluation"
"""Where the model card lies among the artifacts of the run, as that of a training does."""

BUNDLE_TAG = "bundle_sha256"
"""Tag of the run and of the version: which bundled model it is, so that it is registered once."""

PROMOTED_BY = "the bundled model"
DECISION = "first champion: it comes with the package"
REGISTRATION_LOCK_ID = LOCK_ID + 1
"""Advisory lock of PostgreSQL: of two registrations at once the second finds what the first made."""


@dataclass(frozen=True)
class PretrainedModel:
    """A verified bundle and what is told of it.

    Attributes:
        manifest: as it was shipped; its version becomes that of the registered model.
        contents: every other file of the bundle.
        model_card: data, split, figures and limits, in Markdown.
        figures: what its manifest says about how good it is.
        fingerprint: SHA-256 of the manifest as shipped; tells one bundled model from another.
    """

    manifest: Manifest
    contents: Mapping[str, bytes]
    model_card: bytes
    figures: Evaluation
    fingerprint: str

    def files(self, version: str) -> dict[str, bytes]:
        """All files of the bundle under another version; the hashes of the contents stay."""
        manifest = self.manifest.model_copy(update={"version": version})
        return {**self.contents, MANIFEST_FILE: manifest.model_dump_json(indent=2).encode()}


@dataclass(frozen=True)
class Publication:
    """What came of publishing.

    Attributes:
        champion: version of the champion now.
        is_new: it became the champion just now; otherwise another one already was.
    """

    champion: str
    is_new: bool


def has_pretrained(folder: Path = PRETRAINED_FOLDER) -> bool:
    """Does this installation come with a model? Whether it is whole is found out by reading it."""
    return (folder / BUNDLE_FOLDER).is_dir()


def read_pretrained(folder: Path = PRETRAINED_FOLDER) -> PretrainedModel:
    """Read and verify the bundled model.

    Args:
        folder: holds `bundle/` with the files of an inference bundle and its Keras weights, and `model-card.md`.

    Raises:
        BundleError: a file is missing, altered or of a newer version.
    """
    try:
        return _read(folder)
    except ObjectNotFound as exc:
        raise _unusable(BundleError(f"A file is missing: {exc}")) from exc
    except ValidationError as exc:
        raise _unusable(BundleError(f"The metrics in its {MANIFEST_FILE} are not figures: {exc}")) from exc
    except BundleError as exc:
        raise _unusable(exc) from exc


def publish_pretrained(model: PretrainedModel, stores: Stores, replace: bool = False) -> Publication:
    """Register the bundled model and make it the champion, if no other model is; safe to repeat.

    Args:
        model: as `read_pretrained` gives it.
        stores: database, MLflow, data bucket.
        replace: publish it also where another model is the champion.

    Raises:
        BundleError: another model lies in the bucket under the number that MLflow gave.
        DatabaseError, RegistryError, StorageError: that store is away; the next try goes on from what was done.
    """
    with _registration_lock(stores.engine):
        known = _registered_before(model, stores.registry)
        champion = _champion(stores)
        is_ours = known is not None and champion == known.version
        # The alias without the pointer is what an interrupted try leaves.
        if champion and not replace and (not is_ours or published_version(stores.bucket)):
            return Publication(champion, is_new=False)
        version = _uploaded(model, known, stores)
        return _published(stores, version, replace)


def _read(folder: Path) -> PretrainedModel:
    from brain_assets.ml.export import WEIGHTS_FILE

    bundle = folder_files(folder / BUNDLE_FOLDER)
    manifest = read_manifest(bundle)
    names = {*CONTENT_FILES, WEIGHTS_FILE, *manifest.sha256}
    return PretrainedModel(
        manifest=manifest,
        contents={name: verified(bundle, manifest, name) for name in sorted(names)},
        model_card=folder_files(folder).read(MODEL_CARD_FILE),
        figures=Evaluation.model_validate(manifest.metrics),
        fingerprint=sha256(bundle.read(MANIFEST_FILE)),
    )


def _unusable(fault: BundleError) -> BundleError:
    advice = "Install the package again, or set BRAIN_MODEL__BUNDLED=false."
    return BundleError(f"The bundled model cannot be used. {fault} {advice}")


def _champion(stores: Stores) -> str | None:
    # Someone's choice in MLflow that is not published yet counts too.
    return published_version(stores.bucket) or stores.registry.alias_version(CHAMPION)


def _published(stores: Stores, version: str, replace: bool) -> Publication:
    try:
        if replace:
            publish_champion(*stores, version, PROMOTED_BY)
        else:
            replace_champion(stores, version, champion=None, promoted_by=PROMOTED_BY)
    except ChampionChanged:
        # Another model became the champion meanwhile: it stays.
        return Publication(_champion(stores) or version, is_new=False)
    return Publication(version, is_new=True)


def _registered_before(model: PretrainedModel, registry: ModelRegistry) -> RegisteredVersion | None:
    found = (one for one in registry.versions() if one.tags.get(BUNDLE_TAG) == model.fingerprint)
    return next(found, None)


def _uploaded(model: PretrainedModel, known: RegisteredVersion | None, stores: Stores) -> str:
    """The version under which the bundle lies in the bucket and among the run's artifacts."""
    if known and _is_whole(stores.bucket, known.version):
        return known.version
    registry = stores.registry
    run = registry.existing_run(known.run.run_id if known and known.run else _logged_run(model, registry))
    version = known.version if known else registry.register(run, BUNDLE_FOLDER, _version_tags(model))
    files = model.files(version)
    run.log_files({MANIFEST_FILE: files[MANIFEST_FILE]}, BUNDLE_FOLDER)
    upload_bundle(stores.bucket, version, files)
    return version


def _is_whole(bucket: Bucket, version: str) -> bool:
    # The manifest is written last, in MLflow too before it is in the bucket.
    return bucket.exists(model_key(version, MANIFEST_FILE))


def _logged_run(model: PretrainedModel, registry: ModelRegistry) -> str:
    """The id of a finished run that holds figures, files and model card; an earlier one, if there is."""
    from brain_assets.ml.signature import MLMODEL_FILE, mlmodel_file

    earlier = registry.runs_with_tag(BUNDLE_TAG, model.fingerprint)
    if earlier:
        return earlier[0].run_id
    with registry.run(PROMOTED_BY, _run_tags(model)) as run:
        about = ("architecture", "input_size", "data_version", "temperature", "set_threshold", "coverage")
        run.log_params({name: getattr(model.manifest, name) for name in about})
        run.log_metrics(model.figures.as_metrics())
        signature = mlmodel_file(model.contents[MODEL_FILE], run.run_id)
        run.log_files({**model.contents, MLMODEL_FILE: signature}, BUNDLE_FOLDER)
        run.log_files({MODEL_CARD_FILE: model.model_card}, CARD_FOLDER)
    return run.run_id


def _run_tags(model: PretrainedModel) -> dict[str, str]:
    return {
        BUNDLE_TAG: model.fingerprint,
        "bundled": "true",
        "source": model.manifest.provenance.source,
        "code_version": model.manifest.code_version,
    }


def _version_tags(model: PretrainedModel) -> dict[str, str]:
    from brain_assets.ml.metrics_table import DECISION_TAG

    return {**_run_tags(model), DECISION_TAG: DECISION}


@contextmanager
def _registration_lock(engine: Engine) -> Iterator[None]:
    with translated_errors(), engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": REGISTRATION_LOCK_ID})
        yield
