"""`brain predict`, `brain evaluate`, `brain explain`: the model on files of this machine, without any server."""

import errno
import json
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from brain_cli.cores import in_order
from brain_cli.image_files import Unreadable, find_images, printable
from brain_cli.interrupts import StopRequested, stop_on_signals
from brain_cli.offline_output import Output, PredictionLog, discard_output, evaluation_tables
from brain_core.cores import usable_cores
from brain_core.errors import BrainError, InvalidImage
from brain_core.labels import NOTICE
from brain_core.settings import load_settings
from brain_core.threads import own_threads_only

if TYPE_CHECKING:
    from brain_cli.offline import JudgedFile, OfflineModel

SOME_FAILED, NOTHING_DONE, READER_GONE = 1, 2, 141
"""Exit codes; the last one is what a shell sees of a program whose output nobody reads any more (`| head`)."""

Result = TypeVar("Result")

BundleFolder = Annotated[
    Path | None, typer.Option("--bundle", metavar="DIR", help="Folder of an inference bundle, not the champion.")
]


def predict(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Files, folders (all below them), quoted patterns.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line and image.")] = False,
    bundle: BundleFolder = None,
) -> None:
    """Predict the class of images with the published champion; no server is needed and nothing is stored.

    Without a champion the bundled model answers; standard error says which.
    What cannot be read is reported and does not stop the rest.

    A JSON line holds path, is_valid, rejection_reason, histogram_correlation, gate_score,
    predicted_class, probabilities, confidence, is_uncertain and activation_peak: x and y of the
    map's maximum for the predicted class, as fractions of width and height. An image that the
    upload gate refuses has them all too. For a file that cannot be read it holds path and error.

    Exit codes: 0 all images were read; 1 some could not be read; 2 nothing was predicted (no image
    found, no usable model, wrong use); 130 or 143 stopped; 141 nobody read the output any more.

    Examples:
      brain predict scan.jpg

      brain predict folder 'more/**/*.png' --json > predictions.jsonl

      brain predict folder --bundle path/to/bundle
    """
    output = Output()
    with _ending_in_order(output):
        found = find_images(paths)
        for path in found.empty:
            output.say(f"{printable(path)} holds no JPEG or PNG image.", "yellow")
        model = _open(output, bundle) if found.files else None
        log = PredictionLog(output, as_json)
        for problem in found.unreadable:
            log.add(problem.as_record())
        if model is None:
            output.say("No image was found. Name files, folders or patterns that hold JPEG or PNG images.", "red")
            raise typer.Exit(NOTHING_DONE)
        with closing(_judged(output, model, found.files, model.record)) as records:
            for record in records:
                log.add(record)
        log.finish()
        raise typer.Exit(SOME_FAILED if log.unreadable else 0)


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with a folder of images for each class.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    bundle: BundleFolder = None,
) -> None:
    """Judge the champion on a folder of class folders: glioma, meningioma, notumor, pituitary.

    Accuracy, balanced accuracy, macro-F1, calibration error, recall and precision of each class,
    confusion, and the share that the upload gate accepts, with 95 % intervals; how many of the
    images were in the model's training, and the same figures without them and without likely
    copies of them.

    Exit codes: 0 all images were read; 1 some could not be read; 2 nothing was judged (no image, no
    usable model, a folder that is no class); 130 or 143 stopped; 141 nobody read the output any more.

    Examples:
      brain evaluate path/to/folder

      brain evaluate path/to/folder --json --bundle path/to/bundle
    """
    output = Output()
    with _ending_in_order(output):
        folders = _evaluation_module()
        found = folders.find_labelled(folder)
        model = _open(output, bundle)
        paths, keep = list(found.labels), partial(folders.summary, labels=found.labels)
        with closing(_judged(output, model, paths, keep)) as results:
            figures = folders.evaluation(model, folder, chain(found.unreadable, results))
        for item in figures["unreadable_files"]:
            output.report(item["path"], item["error"])
        _show_evaluation(output, figures, as_json)
        raise typer.Exit(SOME_FAILED if figures["unreadable"] else 0)


def explain(
    path: Annotated[str, typer.Argument(metavar="PATH", help="The image.")],
    picture: Annotated[Path, typer.Option("--output", "-o", metavar="OUT.png", help="Where to write the picture.")],
    bundle: BundleFolder = None,
) -> None:
    """Draw what a prediction was made from: the activation map over the image, its outline and its peak.

    A picture that is there already is replaced, but never the image itself.

    Exit codes: 0 the picture was written; 1 the image cannot be read, or the picture not written;
    2 wrong use or no usable model; 130 or 143 stopped.

    Examples:
      brain explain scan.jpg -o map.png

      brain explain scan.jpg -o map.png --bundle path/to/bundle
    """
    output = Output()
    with _ending_in_order(output):
        _check_picture_path(path, picture)
        model = _open(output, bundle)
        try:
            _replace(picture, model.explanation(path))
        except InvalidImage as exc:
            output.report(printable(path), str(exc))
            raise typer.Exit(SOME_FAILED) from exc
        except OSError as exc:
            output.report(printable(str(picture)), f"The picture cannot be written: {exc.strerror}.")
            raise typer.Exit(SOME_FAILED) from exc
        output.write(f"Written: {printable(str(picture))}")


@contextmanager
def _ending_in_order(output: Output) -> Iterator[None]:
    """Turn what ends a command early into a sentence and an exit code."""
    try:
        with stop_on_signals(lambda: None):
            yield
    except StopRequested as stop:
        output.say("Stopped.")
        raise typer.Exit(stop.exit_code) from stop
    except BrokenPipeError as exc:
        discard_output()
        raise typer.Exit(READER_GONE) from exc
    except BrainError as exc:
        output.say(str(exc), "red")
        raise typer.Exit(NOTHING_DONE) from exc


def _open(output: Output, folder: Path | None) -> "OfflineModel":
    from brain_cli.offline import open_model

    model = open_model(load_settings(), folder)
    output.say(f"{model.title} {NOTICE}")
    return model


def _evaluation_module() -> ModuleType:
    try:
        from brain_cli import folder_evaluation
    except ModuleNotFoundError as exc:
        raise BrainError(f"`brain evaluate` needs {exc.name}. Install brain-assets with its extra `pipeline`.") from exc
    return folder_evaluation


def _judged(
    output: Output, model: "OfflineModel", paths: list[str], keep: Callable[["JudgedFile | Unreadable"], Result]
) -> Generator[Result, None, None]:
    """What `keep` makes of each judged file, in their order, with progress."""
    from brain_cli.offline import FILES_AT_ONCE

    chunks = (paths[start : start + FILES_AT_ONCE] for start in range(0, len(paths), FILES_AT_ONCE))

    def judge(chunk: list[str]) -> list[Result]:
        return [keep(judged) for judged in model.judge_files(chunk)]

    with (
        own_threads_only(),
        closing(in_order(judge, chunks, usable_cores())) as results,
        output.progress(chain.from_iterable(results), len(paths)) as shown,
    ):
        yield from shown


def _show_evaluation(output: Output, figures: dict[str, Any], as_json: bool) -> None:
    if figures["warning"]:
        output.say(figures["warning"], "yellow")
    if as_json:
        output.write(json.dumps(figures, allow_nan=False))
        return
    for table in evaluation_tables(figures):
        output.table(table)
    output.write(f"{figures['unreadable']} images could not be read. {NOTICE}")


def _check_picture_path(path: str, picture: Path) -> None:
    name = printable(str(picture))
    if picture.suffix.lower() != ".png":
        raise typer.BadParameter(f"{name} does not end in .png; the picture is a PNG image.", param_hint="--output")
    if not picture.parent.is_dir():
        raise typer.BadParameter(f"There is no folder {printable(str(picture.parent))}.", param_hint="--output")
    if picture.is_dir():
        raise typer.BadParameter(f"{name} is a folder. Name a file in it.", param_hint="--output")
    if picture.exists() and os.path.exists(path) and picture.samefile(path):
        raise typer.BadParameter(f"{name} is the image itself. Name another file.", param_hint="--output")


def _replace(picture: Path, data: bytes) -> None:
    """Write whole or not at all."""
    if picture.exists() and not os.access(picture, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    temporary = picture.with_name(f".{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(picture)
    finally:
        temporary.unlink(missing_ok=True)
