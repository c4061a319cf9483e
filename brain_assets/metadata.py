"""What an asset shows in Dagit: numbers, tables and small inline pictures."""

import base64
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg
import pandas as pd

from brain_core.labels import NOTICE

ROWS_SHOWN = 50
SYNTHETIC = "Synthetic slices drawn on the MNI152 template, not patients."


def picture(png: bytes) -> dg.MarkdownMetadataValue:
    """A PNG inside the page."""
    return dg.MetadataValue.md(f"![picture](data:image/png;base64,{base64.b64encode(png).decode()})")


def table(frame: pd.DataFrame) -> dg.TableMetadataValue:
    """The first rows of a table; numbers are rounded for the eye."""
    shown = frame.head(ROWS_SHOWN).round(4).astype(object).where(frame.head(ROWS_SHOWN).notna(), None)
    columns = [dg.TableColumn(str(name), _type_of(frame[name])) for name in frame.columns]
    records = [dg.TableRecord({str(k): _plain(v) for k, v in row.items()}) for row in shown.to_dict("records")]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=columns))


def figures(values: Mapping[str, float | int | None]) -> dict[str, float | int | str]:
    """Numbers under their names; one that could not be computed is said so."""
    return {name: "not assessed" if value is None else value for name, value in values.items()}


def source_in(rows: pd.DataFrame) -> str:
    """The source that a table's images come from: sample, public or own; all of them where there are more."""
    return ", ".join(sorted(rows["source"].unique()))


def source_note(source: str) -> str:
    """What the images are; the synthetic sample says so wherever it shows."""
    notes = {"sample": SYNTHETIC, "public": "Public data set."}
    told = [notes.get(name, "Images of this installation.") for name in source.split(", ")]
    return " ".join([*told, NOTICE])


def synthetic_note(source: str) -> str:
    """What a picture or a page says that is seen outside Dagit; empty where no image is synthetic."""
    return SYNTHETIC if "sample" in source.split(", ") else ""


def progress_log(context: dg.AssetExecutionContext, what: str) -> Callable[[int, int], None]:
    """A callback that logs at most about ten lines, however many images there are."""
    tenths = 0

    def log(done: int, total: int) -> None:
        nonlocal tenths
        reached = done // max(1, total // 10)
        if done == total or reached > tenths:
            tenths = reached
            context.log.info("%s: %d of %d", what, done, total)

    return log


def _type_of(column: Any) -> str:
    if pd.api.types.is_bool_dtype(column):
        return "bool"
    if pd.api.types.is_integer_dtype(column):
        return "int"
    return "float" if pd.api.types.is_float_dtype(column) else "string"


def _plain(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    item = getattr(value, "item", None)
    plain = item() if callable(item) else str(value)
    return plain if isinstance(plain, (bool, int, float, str)) else str(value)
