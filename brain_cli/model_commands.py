"""`brain models …`: the registered models side by side, and which of them answers."""

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from brain_core.errors import BundleError, ModelUnavailable, ObjectNotFound
from brain_core.settings import Settings, load_settings
from brain_core.storage import Bucket, model_key, open_bucket, read_json

if TYPE_CHECKING:
    import pandas as pd

    from brain_assets.ml.publishing import Stores
    from brain_assets.ml.registry import ModelRegistry
    from brain_core.bundle import ChampionPointer, Manifest

model_commands = typer.Typer(help="The registered models, and which of them answers.", no_args_is_help=True)
console = Console()

SYNTHETIC = "sample"
LISTED = (
    "version", "aliases", "created_at", "source", "architecture", "macro_f1", "balanced_accuracy", "ece", "peak_in_box",
    "decision",
)  # fmt: skip
"""What fits beside each other; `show` and `--json` tell the rest."""

DECISION_FILE = "decision.json"
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Version = Annotated[str, typer.Argument(help="Number of a registered version, as `brain models list` shows it.")]


@model_commands.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List all registered versions with their figures and what was decided about them, the newest first.

    Exit codes: 0 told, 1 MLflow is away.

    Examples:
      brain models list

      brain models list --json
    """
    from brain_assets.ml.metrics_table import metrics_table, readable

    settings = _settings()
    models = metrics_table(_registry(settings))
    if as_json:
        typer.echo(json.dumps(_records(models), indent=2))
        return
    if models.empty:
        console.print("No model was registered yet. Start `brain up`.")
        return
    shown = readable(models)
    _print_table(shown[[name for name in LISTED if name in shown]])
    console.print(_published_line(_pointer(open_bucket(settings.bucket_uri))), soft_wrap=True, highlight=False)


@model_commands.command("show")
def show(version: Version, as_json: AsJson = False) -> None:
    """Show one version: its figures, its bundle, and the decision about it with every rule.

    Exit codes: 0 shown, 1 there is no such version, or MLflow is away.

    Examples:
      brain models show 3

      brain models show 3 --json
    """
    from brain_assets.ml.metrics_table import metrics_table
    from brain_assets.ml.publishing import VersionRefused

    settings = _settings()
    models = metrics_table(_registry(settings))
    row = models[models["version"] == version]
    if row.empty:
        raise VersionRefused(f"MLflow has no version {version!r}. `brain models list` shows those that there are.")
    bucket = open_bucket(settings.bucket_uri)
    manifest, decision, pointer = _manifest(bucket, version), _decision(bucket, version), _pointer(bucket)
    is_published = pointer is not None and pointer.version == version
    if as_json:
        about = manifest.model_dump(mode="json") if manifest else None
        found = {**_records(row)[0], "is_published": is_published, "manifest": about, "decision_record": decision}
        typer.echo(json.dumps(found, indent=2))
        return
    _print_version(row, manifest, decision, is_published)


@model_commands.command("promote")
def promote(version: Version) -> None:
    """Make a version the champion, also an older one: the alias in MLflow and the published pointer name it.

    The promotion policy is not asked: it is you who decides. Refused are a version without a whole bundle, an unknown
    number, and the baseline.

    Exit codes: 0 it is the champion, 1 refused, or a part is away.

    Example:
      brain models promote 3
    """
    from brain_assets.ml.publishing import publish_champion, published_version

    with _stores(_settings()) as stores:
        before = published_version(stores.bucket)
        publish_champion(*stores, version, f"brain models promote, by {_user()}")
        manifest = _manifest(stores.bucket, version)
    if before == version:
        console.print(f"Version {version} is the champion already.")
        return
    instead = f" instead of {before}" if before else ""
    console.print(f"Version {version} is the champion now{instead}. Serving follows within seconds.", highlight=False)
    if manifest is not None and manifest.provenance.source == SYNTHETIC:
        told = f"Version {version} was trained on the synthetic sample: it says nothing about real images."
        console.print(told, style="yellow", highlight=False, soft_wrap=True)


@model_commands.command("rollback")
def rollback() -> None:
    """Make the champion before this one the champion again; repeated, the one before that.

    Exit codes: 0 done, 1 there is no former champion with a whole bundle, or a part is away.

    Example:
      brain models rollback
    """
    from brain_assets.ml.publishing import published_version, roll_back

    with _stores(_settings()) as stores:
        before = published_version(stores.bucket)
        pointer = roll_back(stores, f"brain models rollback, by {_user()}")
    told = f"Version {pointer.version} is the champion again, instead of {before}. Serving follows within seconds."
    console.print(told, highlight=False, soft_wrap=True)


@model_commands.command("shadow")
def shadow(as_json: AsJson = False) -> None:
    """Show how the challenger's answers to what was uploaded stand to the champion's (BRAIN_MODEL__SHADOW).

    Exit codes: 0 shown, 1 there is no challenger, or a part is away.

    Examples:
      brain models shadow

      brain models shadow --json
    """
    from brain_assets.ml.publishing import VersionRefused
    from brain_assets.ml.registry import CHALLENGER
    from brain_core.shadow import ShadowStore

    with _stores(_settings()) as stores:
        version = stores.registry.alias_version(CHALLENGER)
        if version is None:
            raise VersionRefused("There is no challenger: the newest model is the champion, or none was kept back.")
        found = ShadowStore(stores.engine).agreement(version)
    if as_json:
        typer.echo(json.dumps({**vars(found), "share": found.share}))
        return
    table = Table("challenger", "uploads", "same class", "corrected", "of these as the challenger said")
    share = "" if found.share is None else f" ({found.share:.1%})"
    table.add_row(
        found.version,
        str(found.images),
        f"{found.same_class}{share}",
        str(found.corrected),
        str(found.corrected_as_challenger),
    )
    console.print(table)


def _settings() -> Settings:
    from brain_cli.addresses import running_settings

    return running_settings(load_settings())


def _registry(settings: Settings) -> "ModelRegistry":
    from brain_assets.ml.registry import ModelRegistry

    return ModelRegistry(settings.mlflow.uri, settings.mlflow.timeout_s)


@contextmanager
def _stores(settings: Settings) -> "Iterator[Stores]":
    from brain_assets.ml.publishing import Stores
    from brain_core.database import open_engine

    engine = open_engine(settings.database_url, pool_size=1)
    try:
        yield Stores(engine, _registry(settings), open_bucket(settings.bucket_uri))
    finally:
        engine.dispose()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container's user may have a number and no name.
        return "an unnamed user"


def _records(models: "pd.DataFrame") -> list[dict[str, Any]]:
    """The rows as JSON has them: times as text, null where there is no figure."""
    found: list[dict[str, Any]] = json.loads(models.to_json(orient="records", date_format="iso"))
    return found


def _pointer(bucket: Bucket) -> "ChampionPointer | None":
    from brain_core.bundle import read_champion

    try:
        return read_champion(bucket)
    except (ModelUnavailable, BundleError):
        return None


def _manifest(bucket: Bucket, version: str) -> "Manifest | None":
    from brain_core.bundle import load_manifest

    try:
        return load_manifest(bucket, version)
    except BundleError:
        return None


def _decision(bucket: Bucket, version: str) -> dict[str, Any] | None:
    try:
        return read_json(bucket, model_key(version, DECISION_FILE))
    except ObjectNotFound:
        return None


def _published_line(pointer: "ChampionPointer | None") -> str:
    if pointer is None:
        return "No champion is published."
    since = f"{pointer.promoted_at:%Y-%m-%d %H:%M}"
    return f"Published: version {escape(pointer.version)}, since {since} UTC, by {escape(pointer.promoted_by)}."


def _print_version(
    row: "pd.DataFrame", manifest: "Manifest | None", decision: dict[str, Any] | None, is_published: bool
) -> None:
    from brain_assets.ml.metrics_table import readable

    table = Table("what", "value", title="The published champion" if is_published else None)
    for name, value in readable(row).iloc[0].items():
        table.add_row(str(name), escape(str(value)))
    if manifest is None:
        table.add_row("bundle", "none: it cannot be the champion")
    else:
        table.add_row("input", f"{manifest.input_size} x {manifest.input_size} pixels")
        table.add_row("code version", escape(manifest.code_version))
    console.print(table)
    if decision is not None:
        _print_decision(decision)


def _print_decision(record: dict[str, Any]) -> None:
    decision = record["decision"]
    console.print(decision["reason"], soft_wrap=True, highlight=False, markup=False)
    table = Table("rule", "found", "limit", "holds")
    for rule in decision["rules"]:
        holds = "[green]yes[/]" if rule["passed"] else "[red]no[/]"
        table.add_row(escape(rule["name"]), escape(rule["value"]), escape(rule["limit"]), holds)
    console.print(table)


def _print_table(models: "pd.DataFrame") -> None:
    table = Table(*(str(name) for name in models.columns))
    for row in models.astype(str).itertuples(index=False):
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)
