"""What is known of the images that a model is judged on: component, source, plane, published split."""

import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from brain_assets.asset_store import ImageSet
from brain_core.labels import TumourClass

FIGSHARE = "figshare"
BR35H = "Br35H"
SARTAJ = "SARTAJ"
MAX_PREFIXES = 8
"""With more different beginnings of file names than this, they say nothing about where the images come from."""

TRAINED_PARTS = ("train", "validation")
TESTING = "Testing"

_PUBLIC_NAME = re.compile(r"(te|tr)-(gl|me|no|pi)(tr)?_\d+")
_PREFIX = re.compile(r"^([^\d]*)")


@dataclass(frozen=True)
class KnownImages:
    """The tables that tell of the images.

    Attributes:
        splits: `key`, `label`, `group`, `part`; `component`, `is_representative` and `source` where they are there.
        manifest: `key` and `published_split`.
        annotations: `key`; `plane` and `slice` where they are there.
        feedback: the held-out corrected images, see `judging.held_out_images`; None where there is none.
    """

    splits: pd.DataFrame
    manifest: pd.DataFrame
    annotations: pd.DataFrame
    feedback: ImageSet | None = None


def image_facts(known: KnownImages) -> pd.DataFrame:
    """One row an image of the splits, in their order, with the key as index.

    Returns:
        `label`, `group`, `part`, `component` (the group, where splits of an earlier version lack it),
        `is_representative`, `source` (see `sources_of`), `plane` (None where unknown) and `published_split` (empty
        where there is none).
    """
    table = known.splits.set_index("key")
    table = table.assign(
        component=table.get("component", table["group"]),
        is_representative=_representatives(table),
        plane=_column(known.annotations, "plane", table.index),
        published_split=_column(known.manifest, "published_split", table.index).fillna(""),
    )
    table["source"] = sources_of(table, _column(known.annotations, "slice", table.index))
    columns = ["label", "group", "part", "component", "is_representative", "source", "plane", "published_split"]
    return table[columns]


def sources_of(images: pd.DataFrame, slices: "pd.Series[str]") -> "pd.Series[str]":
    """Where each image comes from, as far as it is known.

    The public data set is recognised by its file names and joins three: a known slice is figshare's; its images without
    a tumour are Br35H's, as its description says; what is left is SARTAJ's. Of other images the letters with which the
    file's name begins tell, when there are only a few such beginnings, else the name of the source.

    Args:
        images: `label` and, where it is there, `source`; the key as index.
        slices: number of the figshare slice, None where unknown; the key as index.
    """
    names = pd.Series([PurePosixPath(str(key)).stem.lower() for key in images.index], index=images.index)
    is_public = names.map(lambda name: _PUBLIC_NAME.fullmatch(name) is not None).astype(bool)
    origins = pd.Series(SARTAJ, index=images.index)
    origins[images["label"] == TumourClass.NOTUMOR.value] = BR35H
    origins[slices.notna()] = FIGSHARE
    fallback = images["source"] if "source" in images else pd.Series("images", index=images.index)
    return origins.where(
        is_public, _prefixes(names[~is_public], images["label"]).reindex(images.index).fillna(fallback)
    )


def published_testing(facts: pd.DataFrame) -> pd.DataFrame:
    """The published Testing images; the key as index.

    Returns:
        The columns of `image_facts`, and `is_trained`: the image or a copy of it was trained or tuned on.
    """
    trained = facts.loc[facts["part"].isin(TRAINED_PARTS), "group"]
    testing = facts[facts["published_split"] == TESTING]
    return testing.assign(is_trained=testing["group"].isin(set(trained)))


def _representatives(table: pd.DataFrame) -> "pd.Series[bool]":
    """One image of each group: the one that is named so, else the first."""
    named = table.get("is_representative", pd.Series(False, index=table.index)).astype(bool)
    first = named.index.isin(_first_of(table["group"], named))
    return pd.Series(first, index=table.index)


def _first_of(groups: "pd.Series[int]", named: "pd.Series[bool]") -> list[Hashable]:
    # A stable sort keeps the order of the rows among those that are alike.
    ordered = pd.DataFrame({"group": groups, "is_named": named}).sort_values("is_named", ascending=False, kind="stable")
    return list(ordered.index[~ordered["group"].duplicated()])


def _prefixes(names: "pd.Series[str]", labels: "pd.Series[str]") -> "pd.Series[str]":
    """Beginnings of the names but for those that are empty or only name the class; nothing where there are many."""
    found = names.str.extract(_PREFIX, expand=False).str.strip("-_.( ")
    told = found[(found != "") & (found != labels.reindex(found.index))]
    return told if told.nunique() <= MAX_PREFIXES else told[:0]


def _column(table: pd.DataFrame, name: str, keys: "pd.Index[str]") -> "pd.Series[str]":
    """A column by key; None where the table lacks the key or the column."""
    by_key = table.drop_duplicates("key").set_index("key").reindex(keys)
    column = by_key[name] if name in by_key else pd.Series(None, index=keys, dtype=object)
    return column.astype(object).where(column.notna(), None)
