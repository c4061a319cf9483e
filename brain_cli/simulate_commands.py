"""`brain simulate …`: what readers do, done by the computer, to see the loop turn."""

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from brain_cli.image_files import read_bounded
from brain_cli.simulation import LabelledImage, Simulated, give_feedback
from brain_core.errors import BrainError
from brain_core.settings import Settings, load_settings

simulate_commands = typer.Typer(help="Do what readers do, to see the loop turn.", no_args_is_help=True)
console = Console()

API = "Prediction API"
DRAWN_PER_CORRECTION = 40
"""Without a folder, so many slices are drawn at most for each correction."""


@simulate_commands.callback()
def _commands() -> None:
    """Do what readers do, to see the loop turn."""


@simulate_commands.command("feedback")
def feedback(
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder with a folder of images for each class. Default: drawn slices."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Corrections to give.")] = 60,
    wrong_share: Annotated[float, typer.Option(min=0, max=1, help="Of the corrections that name a false class.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the order of the images and of the false classes.")] = 0,
    url: Annotated[str | None, typer.Option(help="Address of the API. Default: the running platform's.")] = None,
) -> None:
    """Upload labelled images through the running API and correct what the model says.

    A wrong prediction is corrected, a right one confirmed. So many corrections start a retraining by themselves as soon
    as there are more than BRAIN_FEEDBACK__THRESHOLD of distinct images. Each upload is stored, with consent in your
    name: use images that you may share.

    Exit codes: 0 all corrections were given, 1 there were too few images or the API is away, 130 stopped.

    Examples:
      brain simulate feedback --images path/to/images --count 60

      brain simulate feedback --count 60 --wrong-share 0.3 --seed 1
    """
    from brain_core.client import BrainClient

    settings = load_settings()
    rng = random.Random(seed)  # noqa: S311 - nothing is kept secret with it
    found = _of_folder(images, settings) if images else _drawn(count, seed)
    rng.shuffle(found)
    simulated = Simulated(count, round(count * wrong_share))
    address = url or _running_api(settings)
    console.print(f"Uploading to {address}", highlight=False, soft_wrap=True)
    try:
        with BrainClient(address) as api, _progress(count) as progress:
            give_feedback(api, found, simulated, rng, partial(_show_progress, progress))
    finally:
        _show(simulated)
    _end(simulated, settings)


def _of_folder(folder: Path, settings: Settings) -> list[LabelledImage]:
    try:
        from brain_cli.folder_evaluation import find_labelled
    except ModuleNotFoundError as exc:
        raise BrainError(f"This command needs {exc.name}. Install brain-assets with its extra `pipeline`.") from exc
    labelled = find_labelled(folder).labels
    limit = settings.upload.max_bytes
    return [LabelledImage(path, label, partial(read_bounded, path, limit)) for path, label in labelled.items()]


def _drawn(count: int, seed: int) -> list[LabelledImage]:
    from brain_assets.ml.sources import SampleSource

    # Another seed than that of the images that the sample's model is made from.
    source = SampleSource(count=count * DRAWN_PER_CORRECTION, seed=1000 + seed)
    return [LabelledImage(image.path, image.label, partial(source.read, image)) for image in source.list()]


def _running_api(settings: Settings) -> str:
    from brain_cli.record import read_record

    record = read_record(settings.home_path)
    return (record.url_of(API) if record else "") or settings.dashboard.api_url


def _progress(count: int) -> Progress:
    columns = (TextColumn("corrections"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, TextColumn("{task.fields[told]}"), console=console)
    progress.add_task("corrections", total=count, told="")
    return progress


def _show_progress(progress: Progress, simulated: Simulated) -> None:
    told = f"{simulated.agreed} confirmed, {simulated.refused} refused"
    progress.update(progress.task_ids[0], completed=simulated.corrections, told=told)


def _show(simulated: Simulated) -> None:
    table = Table("what", "images")
    for name, value in _rows(simulated):
        table.add_row(name, str(value))
    console.print(table)


def _rows(simulated: Simulated) -> Iterator[tuple[str, int]]:
    yield "corrected to the true class", simulated.right
    yield "corrected to a false class", simulated.wrong
    yield "confirmed", simulated.agreed
    yield "refused", simulated.refused
    for name in sorted(simulated.by_class):
        yield f"corrections to {name}", simulated.by_class[name]


def _end(simulated: Simulated, settings: Settings) -> None:
    if not simulated.is_done:
        raise BrainError(
            f"Only {simulated.corrections} of {simulated.wanted} corrections could be given: the model told "
            f"{simulated.agreed} images rightly, and {simulated.refused} were refused. More images, or --wrong-share."
        )
    threshold, interval_s = settings.feedback.threshold, settings.feedback.sensor_interval_s
    console.print(
        f"A retraining starts when corrections of more than {threshold} distinct images wait; "
        f"feedback_threshold_sensor looks every {interval_s} s. See it in Dagit: {settings.dagster.url}",
        highlight=False,
        soft_wrap=True,
    )
