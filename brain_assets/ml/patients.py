"""Which images show the same patient, and what therefore has to stay together.

For the public data set the product carries a table: file name -> slice and patient of figshare (Cheng 2017, brain tumor
dataset, doi 10.6084/m9.figshare.1512427, CC BY 4.0), for the images that are copies of figshare slices. Every copy of
the data set keeps the file names; a perceptual hash verifies that a file of this name shows that slice, so that copies
in other sizes match and other data never does. `python bench/public_slices.py DATA` makes the table again.
"""

from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from brain_assets.ml.fingerprints import HASH_BITS, differing_bits, perceptual_hashes
from brain_assets.ml.statistics import stacked_thumbnails

PUBLIC_SLICES_FILE = Path(__file__).with_name("public_slices.parquet")
PUBLIC_COLUMNS = ("key", "slice", "patient")

_MAX_DIFFERING_BITS = 10


def public_patients(statistics: pd.DataFrame) -> pd.DataFrame:
    """The images that are known slices of the public data set.

    Args:
        statistics: `key`, which ends with the file's name, and `thumbnail` (the bytes of uint8 (32, 32)).

    Returns:
        `PUBLIC_COLUMNS`, one row a recognised image, in the given order: `slice`, figshare's number as text, and
        `patient`, figshare's patients with ids that differ in a trailing letter joined.
    """
    named = statistics[["key", "thumbnail"]].assign(name=statistics["key"].map(_name_of))
    candidates = named.merge(_public_slices(), on="name", how="inner")
    hashes = perceptual_hashes(stacked_thumbnails(candidates))
    is_slice = differing_bits(hashes, _stacked(candidates["hash"])) <= _MAX_DIFFERING_BITS
    found = candidates[is_slice].reset_index(drop=True)
    patients = "figshare-" + found["patient"].astype(str)
    return pd.DataFrame({"key": found["key"], "slice": found["slice"].astype(str), "patient": patients})


def public_slices(annotations: pd.DataFrame, statistics: pd.DataFrame) -> pd.DataFrame:
    """The table that `public_patients` looks into.

    Args:
        annotations: `key`, `slice`, `patient` (`p` and a number), complete.
        statistics: `key` and `thumbnail`.

    Returns:
        Sorted by `name` (the file's name in lower case, without extension): `slice` and `patient`, int16; `hash`, the
        16 bytes of `fingerprints.perceptual_hashes`.
    """
    table = annotations.merge(statistics[["key", "thumbnail"]], on="key", validate="one_to_one")
    hashes = perceptual_hashes(stacked_thumbnails(table))
    slices = pd.DataFrame(
        {
            "name": table["key"].map(_name_of),
            "slice": table["slice"].astype(np.int16),
            "patient": table["patient"].str.removeprefix("p").astype(np.int16),
            "hash": [row.tobytes() for row in hashes],
        }
    )
    return slices.sort_values("name", ignore_index=True)


def with_public(annotations: pd.DataFrame, public: pd.DataFrame) -> pd.DataFrame:
    """Complete what people annotated by what the product knows of the public data set.

    Args:
        annotations: the table of `annotations.annotate`.
        public: as `public_patients` gives it.

    Returns:
        The annotations with `public_patient`; `patient` and `slice` are taken from `public` where nobody gave them.
    """
    known = annotations[["key"]].merge(public, on="key", how="left", validate="one_to_one")
    known = known.astype(object).where(known.notna(), None).set_axis(annotations.index)
    rows = annotations.assign(public_patient=known["patient"])
    for name in ("patient", "slice"):
        rows[name] = rows[name].where(rows[name].notna(), known[name])
    return rows


def patients_of(rows: pd.DataFrame) -> pd.DataFrame:
    """`key` and `patient` of the rows that `with_public` made; two rows where a person and the product both know."""
    named = [rows[["key", name]].set_axis(["key", "patient"], axis=1) for name in ("patient", "public_patient")]
    return pd.concat(named).dropna(subset=["patient"]).drop_duplicates(ignore_index=True)


def components(groups: pd.DataFrame, patients: pd.DataFrame | None = None) -> pd.DataFrame:
    """What has to stay in one part: everything that hangs together by copies, near slices and patients.

    Args:
        groups: `key` and `group`, see `duplicates.duplicate_groups`; `related_group`, which reaches further, is used
            where it is there.
        patients: `key` and `patient`; an image may have several rows. Rows without a patient, and of images that are
            not in `groups`, count for nothing.

    Returns:
        The groups with `component`, numbered from 0 in the order of the first key, whatever the order of the rows.
    """
    table = groups.sort_values("key", ignore_index=True)
    together = pd.factorize(table["related_group" if "related_group" in table else "group"])[0]
    edges = _patient_edges(pd.Series(together, index=table["key"]), patients)
    count = int(max(together.max(initial=-1), edges.to_numpy().max(initial=-1))) + 1
    links = (np.ones(len(edges), dtype=np.int8), (edges["group"].to_numpy(), edges["node"].to_numpy()))
    labels = connected_components(coo_array(links, shape=(count, count)), directed=False)[1]
    return table.assign(component=pd.factorize(labels[together])[0])


def _patient_edges(group_of: "pd.Series[int]", patients: pd.DataFrame | None) -> pd.DataFrame:
    """Links from a group to a node a patient; the nodes are numbered after the groups."""
    if patients is None:
        return pd.DataFrame({"group": [], "node": []}, dtype=np.int64)
    known = patients[patients["key"].isin(group_of.index)].dropna(subset=["patient"])
    nodes = pd.factorize(known["patient"])[0] + group_of.max() + 1
    return pd.DataFrame({"group": group_of.loc[known["key"]].to_numpy(), "node": nodes}, dtype=np.int64)


@cache
def _public_slices() -> pd.DataFrame:
    return pd.read_parquet(PUBLIC_SLICES_FILE)


def _name_of(key: str) -> str:
    return PurePosixPath(key).stem.lower()


def _stacked(hashes: "pd.Series[bytes]") -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(-1, HASH_BITS // 8)
