"""`brain data …`: the versions of the data that were ever built."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from brain_core.data_versions import data_versions
from brain_core.settings import load_settings
from brain_core.storage import Bucket, open_bucket

data_commands = typer.Typer(help="The data's versions: every manifest that was ever built.", no_args_is_help=True)
console = Console()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@data_commands.command("versions")
def versions(as_json: AsJson = False) -> None:
    """List all versions, the newest last."""
    known = data_versions(_bucket())
    if as_json:
        typer.echo(json.dumps([entry.model_dump(mode="json") for entry in known]))
        return
    table = Table("version", "made (UTC)", "source", "images", "by class", "unreadable")
    for entry in known:
        by_class = ", ".join(f"{name} {count}" for name, count in entry.images_by_class.items())
        made = f"{entry.created_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(entry.version, made, entry.source, str(entry.images), by_class, str(entry.unreadable_images))
    console.print(table if known else "No data was built yet. Start `brain up`.")


@data_commands.command("show")
def show(
    version: Annotated[str, typer.Argument(help="A version, or its first characters.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the manifest as CSV here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show one version: what it holds, and its manifest as CSV with `--output`."""
    from brain_assets.ml.versions import read_version

    entry, manifest = read_version(_bucket(), version)
    if output is not None:
        manifest.to_csv(output, index=False)
    if as_json:
        typer.echo(entry.model_dump_json())
        return
    console.print(f"[bold]{entry.version}[/bold]  made {entry.created_at:%Y-%m-%d %H:%M:%S} UTC from {entry.source}")
    table = Table("published split", "class", "images")
    good = manifest[manifest["decodes"]]
    for (split, label), rows in good.groupby(["published_split", "label"]):
        table.add_row(str(split) or "none", str(label), str(len(rows)))
    console.print(table)
    for _, row in manifest[~manifest["decodes"]].iterrows():
        console.print(f"left out: {row['key']}: {row['reason']}", markup=False)


def _bucket() -> Bucket:
    return open_bucket(load_settings().bucket_uri)
