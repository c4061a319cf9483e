"""What a person knows about the images: an optional `annotations.csv` beside the source.

One row an image, told by `file` (its path in the source, any suffix of it, or the file's name) or by `sha256` (of the
file's bytes), with any of: `patient`, `plane`, `slice` (or `figshare_slice`), and the tumour's box `x0, y0, x1, y1` as
fractions of width and height. Nothing is left out silently: every row that cannot be used is listed with its reason.
"""

import io
import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from brain_core.errors import AnnotationsUnreadable

BOX_COLUMNS = ("x0", "y0", "x1", "y1")
PLANES = ("axial", "coronal", "sagittal")
ANNOTATION_COLUMNS = ("key", "patient", "plane", "slice", *BOX_COLUMNS)
PROBLEM_COLUMNS = ("row", "image", "reason")

_TEXT_COLUMNS = ("file", "sha256", "patient", "plane", "slice")


@dataclass(frozen=True)
class Annotations:
    """What was understood, and what was not.

    Attributes:
        table: `ANNOTATION_COLUMNS`, one row for each image of the manifest, in its order; None and NaN where unknown.
        problems: `PROBLEM_COLUMNS`: the row of the file (the header is row 1, empty lines do not count), what it names,
            and why it, or only its box or plane, was left out.
    """

    table: pd.DataFrame
    problems: pd.DataFrame


def read_annotations(data: bytes) -> pd.DataFrame:
    """The rows of an `annotations.csv` as text, with the columns that are known and missing ones as None.

    Raises:
        AnnotationsUnreadable: not a CSV in UTF-8, or without a `file` or `sha256` column.
    """
    try:
        rows = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, pd.errors.ParserError) as exc:
        raise AnnotationsUnreadable(f"annotations.csv is not a CSV table in UTF-8: {exc}.") from exc
    rows.columns = rows.columns.str.strip().str.lower()
    if "slice" not in rows and "figshare_slice" in rows:
        rows = rows.rename(columns={"figshare_slice": "slice"})
    if not {"file", "sha256"} & set(rows.columns):
        raise AnnotationsUnreadable(
            f"annotations.csv has the columns {list(rows.columns)}; it needs `file` or `sha256` to name the images."
        )
    rows = rows.reindex(columns=[*_TEXT_COLUMNS, *BOX_COLUMNS], fill_value="").map(str.strip)
    return pd.DataFrame(rows.astype(object).where(rows != "", None))


def annotate(manifest: pd.DataFrame, rows: pd.DataFrame) -> Annotations:
    """Join the rows to the images.

    Args:
        manifest: `key`, `path` (in the source) and `sha256` (of the file's bytes).
        rows: as `read_annotations` gives them.
    """
    images = _ImageIndex(manifest)
    problems: list[tuple[int, str, str]] = []
    found: dict[str, dict[str, object]] = {}
    for number, row in enumerate(rows.to_dict("records"), start=2):
        keys, reasons = images.named(row["file"], row["sha256"])
        known = _known(row, reasons)
        reasons += ["The image is named twice; the first row holds." for key in keys if key in found][:1]
        problems += [(number, row["sha256"] or row["file"] or "", reason) for reason in reasons]
        for key in keys:
            found.setdefault(key, known)
    table = pd.DataFrame([{"key": key, **found.get(key, {})} for key in manifest["key"]], columns=ANNOTATION_COLUMNS)
    text = [name for name in ANNOTATION_COLUMNS if name not in BOX_COLUMNS]
    table[text] = table[text].astype(object).where(table[text].notna(), None)
    table[list(BOX_COLUMNS)] = table[list(BOX_COLUMNS)].astype(float)
    return Annotations(table, pd.DataFrame(problems, columns=list(PROBLEM_COLUMNS)))


class _ImageIndex:
    """Finds the keys that a row names."""

    def __init__(self, manifest: pd.DataFrame) -> None:
        self._by_name: dict[str, list[tuple[PurePosixPath, str]]] = defaultdict(list)
        self._by_sha256: dict[str, list[str]] = defaultdict(list)
        for key, path, sha256 in manifest[["key", "path", "sha256"]].itertuples(index=False):
            self._by_name[PurePosixPath(path).name].append((PurePosixPath(path), key))
            self._by_sha256[sha256].append(key)

    def named(self, file: str | None, sha256: str | None) -> tuple[list[str], list[str]]:
        """The keys, or why there are none. A hash names every image with these bytes, a file exactly one."""
        if sha256:
            keys = self._by_sha256.get(sha256.lower(), [])
            return keys, ([] if keys else ["No image has this hash."])
        if not file:
            return [], ["The row names no image."]
        keys = self._of_file(PurePosixPath(file.replace("\\", "/")))
        if len(keys) > 1:
            return [], [f"{len(keys)} images have this name; give more of the path."]
        return keys, ([] if keys else ["The source has no such image."])

    def _of_file(self, file: PurePosixPath) -> list[str]:
        candidates = self._by_name.get(file.name, [])
        exact = [key for path, key in candidates if path == file]
        # A file may also begin above the source, as it does when one table serves several sources.
        return exact or [key for path, key in candidates if _is_suffix(path, file) or _is_suffix(file, path)]


def _is_suffix(path: PurePosixPath, of: PurePosixPath) -> bool:
    return of.parts[-len(path.parts) :] == path.parts


def _known(row: dict[Hashable, Any], reasons: list[str]) -> dict[str, object]:
    """What the row says, without what cannot be right; adds to the reasons."""
    known: dict[str, object] = {"patient": row["patient"], "slice": row["slice"]}
    plane = (row["plane"] or "").lower()
    if plane in PLANES:
        known["plane"] = plane
    elif plane:
        reasons.append(f"The plane {plane!r} is none of {list(PLANES)}; it was left out.")
    texts = [row[name] for name in BOX_COLUMNS]
    if any(texts):
        box, reason = _box(texts)
        reasons += [f"{reason}; the box was left out."] if reason else []
        known |= dict(zip(BOX_COLUMNS, box, strict=False))
    return known


def _box(texts: Sequence[str | None]) -> tuple[list[float], str]:
    """The four fractions, or an empty list and the reason."""
    shown = ", ".join(text or "(empty)" for text in texts)
    try:
        x0, y0, x1, y1 = (float(text or "nan") for text in texts)
    except ValueError:
        return [], f"The box {shown} is not four numbers"
    if any(math.isnan(value) for value in (x0, y0, x1, y1)):
        return [], f"The box {shown} is not four numbers"
    if min(x0, y0, x1, y1) < 0 or max(x0, y0, x1, y1) > 1:
        return [], f"The box {shown} is outside [0, 1] (fractions of width and height are expected)"
    if x0 >= x1 or y0 >= y1:
        return [], f"The box {shown} is empty (x0 < x1 and y0 < y1 are expected)"
    return [x0, y0, x1, y1], ""
