"""The leak of a published split as one page to send, to print and to link to: no scripts, nothing from outside."""

import base64
import io
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path, PurePosixPath
from string import Template
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from brain_assets.ml.leakage import ALL_CLASSES
from brain_assets.ml.splits import PARTS, crossing_groups
from brain_core.data_versions import report_key
from brain_core.imaging import decode, resize
from brain_core.labels import NOTICE
from brain_core.storage import Bucket

REPORT_FILE = "leakage.html"
"""Its name among the reports about a version of the data."""

_TEMPLATE_FILE = Path(__file__).with_name("leakage_page.html")
_SPLIT_PLACE = re.compile(r'(?<=<span id="split">)[^<]*')
_SIDE_PIXELS = 160
_GAP_PIXELS = 4
_CAPTION_PIXELS = 18
_GREY_LEVELS = 64
_TABLE_COLUMNS = {
    "testing_images": "Testing images",
    "leaked_images": "copies of Training images",
    "leaked_share": "share",
    "upright_leaked_share": "without mirrored and turned",
    "known_patient_images": "patient known",
    "shared_patient_share": "of those, patient also in Training",
    "leaked_or_shared_share": "copy or same patient",
}

Figures = dict[Hashable, Any]


@dataclass(frozen=True)
class LeakedPair:
    """A `Testing` image beside its `Training` copy.

    Attributes:
        label: class of the testing image.
        testing_name: its file's name.
        training_name: the copy's.
        orientation: what turns the training image into the testing image, one of `fingerprints.ORIENTATIONS`.
        picture: both, testing left, uint8 (160, 324).
    """

    label: str
    testing_name: str
    training_name: str
    orientation: str
    picture: NDArray[np.uint8]


def shown_pairs(pairs: pd.DataFrame, bucket: Bucket, pairs_by_class: int = 4) -> list[LeakedPair]:
    """Some pairs of each class, first one of each orientation; the same for the same pairs.

    Args:
        pairs: see `leakage.leaked_pairs`.
        bucket: where the images are, by key.
        pairs_by_class: at most so many.

    Raises:
        ObjectNotFound: an image of the pairs is not in the bucket.
    """
    ordered = pairs.sort_values(["label", "key"])
    ordered = ordered.assign(turn=ordered.groupby(["label", "orientation"]).cumcount())
    chosen = ordered.sort_values(["label", "turn", "orientation"], kind="stable").groupby("label").head(pairs_by_class)
    return [_shown(row, bucket) for row in chosen.to_dict("records")]


def pair_gallery(pairs: Sequence[LeakedPair], columns: int = 4) -> bytes:
    """PNG of the pairs with their names and orientations, row by row; a small black picture when there are none."""
    width, height = 2 * _SIDE_PIXELS + 3 * _GAP_PIXELS, _SIDE_PIXELS + 2 * _CAPTION_PIXELS + 2 * _GAP_PIXELS
    rows = -(-len(pairs) // columns)
    sheet = Image.new("L", (max(1, min(columns, len(pairs))) * width, max(1, rows) * height))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for index, pair in enumerate(pairs):
        left, top = (index % columns) * width + _GAP_PIXELS, (index // columns) * height + _GAP_PIXELS
        sheet.paste(Image.fromarray(pair.picture), (left, top))
        for line, text in enumerate((f"{pair.testing_name} | {pair.training_name}", _caption(pair))):
            draw.text((left, top + _SIDE_PIXELS + line * _CAPTION_PIXELS), text, fill=230, font=font)
    return _png(sheet)


def leakage_report_html(
    leakage: pd.DataFrame, pairs: Sequence[LeakedPair], data_version: str = "", note: str = ""
) -> str:
    """The whole page, for any data set that was published with a `Testing` part; `with_split` completes it.

    Args:
        leakage: see `leakage.published_split_leakage`; with patients where they are known.
        pairs: what to show, see `shown_pairs`.
        data_version: which images the figures are of.
        note: what else to say beside the notice, such as that the images are synthetic.
    """
    by_class = leakage.set_index("label").to_dict("index")
    overall = by_class.get(ALL_CLASSES)
    return Template(_TEMPLATE_FILE.read_text(encoding="utf-8")).substitute(
        notice=escape(NOTICE),
        note=escape(note),
        headline=_headline(overall),
        bars="".join(_bar(str(label), figures) for label, figures in by_class.items()),
        table=_table(by_class),
        gallery="".join(_figure(pair) for pair in pairs) or "<p>No copy was found.</p>",
        version=f"Data version <code>{escape(data_version)}</code>." if data_version else "",
    )


def with_split(page: str, splits: pd.DataFrame) -> str:
    """A page with a sentence about the division that takes the place of the published one, instead of any before.

    Args:
        page: as `leakage_report_html` makes it.
        splits: see `splits.assign_splits`.
    """
    return _SPLIT_PLACE.sub(_split_sentence(splits), page)


def complete_report(bucket: Bucket, data_version: str, splits: pd.DataFrame) -> None:
    """Put the split into the report that is kept about a version, as `with_split` does; without a report do nothing.

    Raises:
        StorageError: the bucket is away.
    """
    key = report_key(data_version, REPORT_FILE)
    if bucket.exists(key):
        bucket.write(key, with_split(bucket.read(key).decode(), splits).encode())


def _shown(pair: dict[Hashable, Any], bucket: Bucket) -> LeakedPair:
    keys = (pair["key"], pair["training_key"])
    testing, training = (resize(decode(bucket.read(key)).grey, _SIDE_PIXELS) for key in keys)
    picture = np.concatenate([testing, np.zeros((_SIDE_PIXELS, _GAP_PIXELS), np.uint8), training], axis=1)
    names = [PurePosixPath(key).name for key in keys]
    return LeakedPair(pair["label"], names[0], names[1], pair["orientation"], picture)


def _headline(overall: Figures | None) -> str:
    if overall is None:
        return (
            "<p>These data were published without a <code>Testing</code> part, so there is nothing that could leak.</p>"
        )
    cards = [_card("copy", overall["leaked_share"], "of the Testing images are copies of Training images.")]
    cards.append(
        _card("", overall["upright_leaked_share"], "is all that is found when mirrored and turned copies are missed.")
    )
    if "leaked_or_shared_share" in overall:
        text = "are copies, or show a patient who is also in Training, as far as patients are known."
        cards.append(_card("", overall["leaked_or_shared_share"], text))
    lead = (
        "The data come divided into <code>Training</code> and <code>Testing</code>. "
        f"Of the {overall['testing_images']:,} images to test with, "
        f"{overall['leaked_images']:,} are also there to train with."
    )
    return f'<p>{lead}</p><div class="numbers">{"".join(cards)}</div>'


def _card(kind: str, share: float, text: str) -> str:
    return f'<div class="number {kind}"><b>{_percent(share)}</b>{escape(text)}</div>'


def _bar(label: str, figures: Figures) -> str:
    either_share = figures["leaked_or_shared_share" if "leaked_or_shared_share" in figures else "leaked_share"]
    copies = 100 * figures["leaked_share"]
    patient = 100 * either_share - copies
    described = f"{_name(label)}: {copies:.1f} % copies, {patient:.1f} % other slices of a patient in training"
    return (
        f'<div class="bar"><span>{_name(label)}</span><span class="track" role="img" aria-label="{described}">'
        f'<span class="copy" style="width:{copies:.2f}%"></span>'
        f'<span class="patient" style="width:{patient:.2f}%"></span></span>'
        f'<span class="value">{_percent(either_share)}</span></div>'
    )


def _table(by_class: dict[Hashable, Figures]) -> str:
    columns = [name for name in _TABLE_COLUMNS if any(name in figures for figures in by_class.values())]
    head = "".join(f"<th>{escape(_TABLE_COLUMNS[name])}</th>" for name in columns)
    body = "".join(_table_row(str(label), [figures[name] for name in columns]) for label, figures in by_class.items())
    return f"<table><thead><tr><th>class</th>{head}</tr></thead><tbody>{body}</tbody></table>"


def _table_row(label: str, values: Sequence[float]) -> str:
    cells = "".join(f"<td>{_percent(value) if isinstance(value, float) else f'{value:,}'}</td>" for value in values)
    return f'<tr class="{"all" if label == ALL_CLASSES else ""}"><td>{_name(label)}</td>{cells}</tr>'


def _figure(pair: LeakedPair) -> str:
    source = "data:image/png;base64," + base64.b64encode(_png(Image.fromarray(pair.picture))).decode()
    names = f"{escape(pair.testing_name)} &larr; {escape(pair.training_name)}"
    alternative = f"{pair.testing_name} of Testing beside {pair.training_name} of Training"
    height, width = pair.picture.shape
    return (
        f'<figure><img src="{source}" alt="{escape(alternative)}" width="{width}" height="{height}">'
        f"<figcaption><b>{names}</b>{escape(_caption(pair))}</figcaption></figure>"
    )


def _caption(pair: LeakedPair) -> str:
    return f"{pair.label}, {'not turned' if pair.orientation == 'same' else pair.orientation}"


def _split_sentence(splits: pd.DataFrame) -> str:
    counts = splits.groupby("part")["component"].nunique().reindex(PARTS, fill_value=0)
    parts = ", ".join(f"{count:,} for {part}" for part, count in counts.items())
    crossing = len(crossing_groups(splits, "component"))
    return (
        f"Here {len(splits):,} images are {splits['group'].nunique():,} different slices in "
        f"{splits['component'].nunique():,} components: {parts}. Components that cross: {crossing}."
    )


def _name(label: object) -> str:
    return "all classes" if label == ALL_CLASSES else escape(str(label))


def _percent(share: float) -> str:
    return "not known" if pd.isna(share) else f"{100 * share:.1f} %"


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.quantize(_GREY_LEVELS).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
