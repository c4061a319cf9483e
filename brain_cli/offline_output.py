"""What the commands on files write: records as JSON or as lines, tables, progress, sentences on standard error."""

import io
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from brain_cli.image_files import without_controls
from brain_core.labels import CLASSES, NOTICE

Item = TypeVar("Item")

_HEADLINES = ("accuracy", "balanced_accuracy", "macro_f1", "ece", "accepted_by_gate")
_SUBSET_TITLES = {
    "without_training_images": "without training images",
    "without_training_and_validation_images": "and without validation images",
    "without_likely_copies": "and without likely copies",
}


class _ErrorConsole(Console):
    def on_broken_pipe(self) -> None:
        # Rich would end the process here; the commands end it themselves, all in the same way.
        raise BrokenPipeError


class Output:
    """Standard output and standard error of one command.

    Attributes:
        errors: the console of standard error.
    """

    def __init__(self) -> None:
        self.errors = _ErrorConsole(stderr=True, soft_wrap=True, highlight=False)
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A name with letters that the terminal lacks must not end the command.
            sys.stdout.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> None:
        """A line on standard output, at once, so that the next program in a pipe can begin."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def say(self, sentence: str, style: str = "") -> None:
        """A sentence on standard error."""
        self.errors.print(sentence, style=style, markup=False)

    def report(self, path: str, error: str) -> None:
        """Say on standard error that a file could not be read."""
        self.say(f"{without_controls(path)}: {error}", "red")

    def table(self, table: Table) -> None:
        """A table on standard output."""
        console = Console()
        with console.capture() as drawn:
            console.print(table)
        self.write(drawn.get())

    @contextmanager
    def progress(self, items: Iterable[Item], count: int) -> Iterator[Iterator[Item]]:
        """Show on standard error, where that is a terminal, how many of the items were taken."""
        columns = (TextColumn("images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        # Only where both are one terminal, what is printed has to go around the bar.
        is_shared = sys.stdout.isatty()
        with Progress(
            *columns,
            console=self.errors,
            transient=True,
            redirect_stdout=is_shared,
            redirect_stderr=False,
            disable=not self.errors.is_terminal,
        ) as bar:
            yield iter(bar.track(items, total=count))


class PredictionLog:
    """Writes the records of predictions as they come, and counts them.

    Args:
        output: where to.
        as_json: one JSON object a line, else columns for a reader.
    """

    HEADER = f"{'class':<11} {'confidence':>10}  {'':<9}  image"

    def __init__(self, output: Output, as_json: bool) -> None:
        self.unreadable = 0
        self._output, self._as_json = output, as_json
        self._classes: Counter[str] = Counter()
        self._states: Counter[str] = Counter()
        self._is_one_terminal = sys.stdout.isatty() and sys.stderr.isatty()
        if not as_json:
            output.write(self.HEADER)

    def add(self, record: dict[str, Any]) -> None:
        """Write one record: `offline.RECORD_FIELDS`, or `path` and `error`."""
        state = state_of(record)
        self._states[state] += 1
        if "error" in record:
            self.unreadable += 1
        elif record["is_valid"]:
            self._classes[record["predicted_class"]] += 1
        self._output.write(json.dumps(record, allow_nan=False) if self._as_json else line_of(record))
        # Once is enough where both reach the same eyes.
        if "error" in record and not self._is_one_terminal:
            self._output.report(record["path"], record["error"])

    def finish(self) -> None:
        """Say what came out: on standard output, or beside it where that is for a program."""
        by_class = ", ".join(f"{name} {self._classes[name]}" for name in CLASSES)
        others = "".join(f"; {state} {self._states[state]}" for state in ("uncertain", "refused", "not read"))
        summary = f"{self._states.total()} images: {by_class}{others}. {NOTICE}"
        (self._output.say if self._as_json else self._output.write)(summary)


def state_of(record: dict[str, Any]) -> str:
    """`accepted`, `uncertain`, `refused` or `not read`."""
    if "error" in record:
        return "not read"
    if not record["is_valid"]:
        return "refused"
    return "uncertain" if record["is_uncertain"] else "accepted"


def line_of(record: dict[str, Any]) -> str:
    """One record as a line for a reader; a refused image shows no class, since it is none."""
    state, path = state_of(record), without_controls(record["path"])
    if state in {"refused", "not read"}:
        return f"{'-':<11} {'-':>10}  {state:<9}  {path}: {record.get('error') or record['rejection_reason']}"
    shown = "uncertain" if state == "uncertain" else ""
    return f"{record['predicted_class']:<11} {record['confidence']:>10.1%}  {shown:<9}  {path}"


def evaluation_tables(figures: dict[str, Any]) -> list[Table]:
    """What `folder_evaluation.evaluation` gives, as tables: all images and each subset, by class, confusion."""
    columns = {"all images": figures} | {title: figures[name] for name, title in _SUBSET_TITLES.items()}
    return [
        _overall_table(figures["folder"], {title: part for title, part in columns.items() if part is not None}),
        _class_table(figures["by_class"]),
        _confusion_table(figures["confusion"]),
    ]


def _overall_table(folder: str, columns: dict[str, dict[str, Any]]) -> Table:
    table = Table("figure", *columns, title=escape(without_controls(folder)), caption="with 95 % intervals")
    table.add_row("images", *(str(part["images"]) for part in columns.values()))
    for name in _HEADLINES:
        table.add_row(name.replace("_", " "), *(_interval(part[name]) for part in columns.values()))
    return table


def _class_table(by_class: dict[str, Any]) -> Table:
    table = Table("class", "images", "recall", "precision", title="all images, by class")
    for name, row in by_class.items():
        table.add_row(name, str(row["images"]), _interval(row["recall"]), _interval(row["precision"]))
    return table


def _confusion_table(confusion: list[list[int]]) -> Table:
    table = Table("true class", *CLASSES, title="all images, by predicted class")
    for name, counts in zip(CLASSES, confusion, strict=True):
        table.add_row(name, *map(str, counts))
    return table


def discard_output() -> None:
    """Let nothing more reach a standard output that nobody reads, so that the process can end in silence."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _interval(figure: dict[str, float] | None) -> str:
    if figure is None:
        return "-"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
