"""The text of the e-mails about a run: what ran, the metrics table, the decision with its rules, and where to look."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from brain_assets.ml.registry import CHAMPION

Value = str | int | float
Row = Mapping[str, object]

BY_HAND = "It was launched by hand."
DECISION = "promotion"
"""The asset whose materialisation is the decision."""

EVALUATION = "model_evaluation"
FEEDBACK = "feedback_set"
MAX_TEXT_LENGTH = 1000
"""Longer values are pictures, or belong to Dagit."""

MAX_CELL_LENGTH = 72
MODELS = "metrics_table"
TABLE_TITLES = {MODELS: "Models", "rules": "Rules", "figures": "New model against the champion"}
"""Tables of the decision, in the order in which they are told."""

NEWEST_MODELS = 2
"""So many are told beside the champion; a line of a mail holds no more columns."""


@dataclass(frozen=True)
class AssetReport:
    """What a run said about one asset that it made.

    Attributes:
        values: numbers and short texts by name.
        tables: tables by name.
    """

    values: dict[str, Value] = field(default_factory=dict)
    tables: dict[str, list[Row]] = field(default_factory=dict)


@dataclass(frozen=True)
class RunReport:
    """What is told about a run.

    Attributes:
        job: its name.
        run_id: of Dagster.
        duration_s: None where Dagster does not know it.
        assets: what it made, in this order.
        failures: reason by step; empty when it succeeded.
        reason: why it was started, a sentence; empty when nobody said.
        dagster_url: address of Dagit.
        mlflow_url: address of MLflow.
    """

    job: str
    run_id: str
    duration_s: float | None
    assets: dict[str, AssetReport]
    failures: dict[str, str]
    dagster_url: str
    mlflow_url: str
    reason: str = ""


def subject(report: RunReport) -> str:
    """One line: what ended, and how; a decision says itself."""
    outcome = "FAILED" if report.failures else "succeeded"
    decision = _decision(report).values.get("decision")
    told = f": {decision}" if decision and not report.failures else ""
    return f"Brain Assets: {report.job} {outcome}{told}"


def text(report: RunReport) -> str:
    """The whole mail, without the notice that the mailer adds."""
    sections = [_opening(report), _failures(report), _what_ran(report), *_figures(report), *_tables(report)]
    return "\n\n".join("\n".join(lines) for lines in [*sections, _links(report)] if lines)


def started_subject(report: RunReport) -> str:
    """One line: what started."""
    return f"Brain Assets: {report.job} started"


def started_text(report: RunReport) -> str:
    """The whole mail about a start: why, what will happen, where to look."""
    lines = [
        f"{report.job} started. {report.reason or BY_HAND}",
        "",
        "The new model starts from the champion's weights. It replaces the champion only when every rule of the "
        "promotion policy holds; until then, and otherwise, the champion answers on. Another mail tells the decision.",
        "",
        f"Run: {report.dagster_url}/runs/{report.run_id}",
    ]
    return "\n".join(lines)


def asset_report(metadata: Mapping[str, dg.MetadataValue]) -> AssetReport:
    """What of an asset's metadata can be told in a mail."""
    values: dict[str, Value] = {}
    tables: dict[str, list[Row]] = {}
    for name, entry in metadata.items():
        if isinstance(entry, dg.TableMetadataValue):
            # What Dagster kept has its fields in the order of their names.
            columns = [column.name for column in entry.schema.columns]
            tables[name] = [{column: record.data.get(column) for column in columns} for record in entry.records]
        elif isinstance(entry.value, (int, float, str)) and len(str(entry.value)) <= MAX_TEXT_LENGTH:
            values[name] = entry.value
    return AssetReport(values, tables)


def text_table(rows: Sequence[Row]) -> list[str]:
    """Lines of a table for a fixed-width font; a column without any value is left out."""
    names = [name for name in (rows[0] if rows else {}) if any(_cell(row.get(name)) for row in rows)]
    cells = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(names))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]] if names else []


def _opening(report: RunReport) -> list[str]:
    took = f" after {_duration(report.duration_s)}" if report.duration_s is not None else ""
    why = [f"Started because: {report.reason}"] if report.reason else []
    if report.failures:
        return [f"{report.job} failed{took}. What was there before stays in use.", *why]
    return [f"{report.job} succeeded{took}.", *why]


def _failures(report: RunReport) -> list[str]:
    return [f"{step}: {reason}" for step, reason in report.failures.items()]


def _what_ran(report: RunReport) -> list[str]:
    return ["What was made", f"  {', '.join(report.assets)}"] if report.assets else []


def _figures(report: RunReport) -> Iterator[list[str]]:
    for name in (FEEDBACK, EVALUATION, DECISION):
        values = report.assets.get(name, AssetReport()).values
        if values:
            yield [name, *(f"  {key}: {_shown(value)}" for key, value in values.items())]


def _tables(report: RunReport) -> Iterator[list[str]]:
    tables = {**report.assets.get(EVALUATION, AssetReport()).tables, **_decision(report).tables}
    for name, title in TABLE_TITLES.items():
        rows = tables.get(name, [])
        if lines := text_table(_turned(rows) if name == MODELS else rows):
            yield [title, *_indented(lines)]


def _turned(models: Sequence[Row]) -> list[Row]:
    """A row a figure and a column a model: the newest ones and the champion."""
    told = [row for place, row in enumerate(models) if place < NEWEST_MODELS or _is_champion(row)]
    names = [name for name in (models[0] if models else {}) if name != "version" and any(row[name] for row in told)]
    return [{"": name, **{f"version {row['version']}": row[name] for row in told}} for name in names]


def _is_champion(model: Row) -> bool:
    return CHAMPION in str(model.get("aliases")).split(", ")


def _links(report: RunReport) -> list[str]:
    links = [f"Run: {report.dagster_url}/runs/{report.run_id}"]
    if DECISION in report.assets:
        links.append(f"Decision: {report.dagster_url}/assets/{DECISION}")
    version = _decision(report).values.get("version")
    models = f"{report.mlflow_url}/#/models/brain-tumor-classifier"
    return [*links, f"Models: {models}/versions/{version}" if version else f"Models: {models}"]


def _decision(report: RunReport) -> AssetReport:
    return report.assets.get(DECISION, AssetReport())


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _cell(value: object) -> str:
    shown = _shown(value)
    return shown if len(shown) <= MAX_CELL_LENGTH else f"{shown[: MAX_CELL_LENGTH - 1]}…"


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
