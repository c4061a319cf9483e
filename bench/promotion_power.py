"""How often the promotion policy lets a worse, an equal and a better model replace the champion.

    python bench/promotion_power.py [--repeats 100]

Simulates both models' answers to test sets of 100, 300 and 600 groups, whose components have the sizes of the public
data set's patients, and asks the policy itself. The challenger's true macro-F1 differs by -3 to +5 points, its map is
as good as the champion's and its calibration as it should be: what is measured includes how often these rules stop a
good model by chance (the column `the map alone` is the share that only the map's rule stopped).
Prints the table, then one JSON line. Exits 1 when an equal model is promoted in more than 5 % of the cases, or a worse
one more than next to never.
"""

import argparse
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

import brain_assets.ml
from brain_assets.ml.localisation import NO_TUMOUR
from brain_assets.ml.metrics import expected_calibration_error, macro_f1
from brain_assets.ml.policy import Answers, Candidate, Decision, Evidence, JudgedImages
from brain_assets.ml.promotion import decide
from brain_core.labels import CLASSES

GROUPS = (100, 300, 600)
DIFFERENCES = (-0.03, -0.02, -0.01, 0.0, 0.01, 0.02, 0.03, 0.05)
FEEDBACK_GROUPS = 60
PROCESSES = 2

CLASS_SHARES = np.array([1364, 836, 348, 935]) / 3483
"""Of the groups of the public data set, in the order of `labels.CLASSES`."""

ERROR_RATES = np.array([0.03, 0.20, 0.04, 0.01])
"""Of the champion on unseen patients, by class; meningioma is the hard one."""

CONFUSIONS = np.array([[0, 0.9, 0.05, 0.05], [0.6, 0, 0.1, 0.3], [0.2, 0.6, 0, 0.2], [0.1, 0.8, 0.1, 0]])
"""What the wrong answers of a true class (row) are."""

SHARED = np.sqrt([0.3, 0.3, 0.1, 0.3])
"""How hard an image is: by its patient, by itself, and for one model by the patient and by itself. The answers of two
models about one image correlate with 0.6, a model's answers about two slices of one patient with 0.4."""

ON_TUMOUR = 0.85
"""Share of the maps of both models that point into the tumour's box."""

PREFIXES = {"gl": 0, "me": 1, "pi": 3}
MAX_SHARE_EQUAL = 0.05
MAX_SHARE_WORSE = {-0.03: 0.005, -0.02: 0.01, -0.01: 0.02}


@dataclass(frozen=True)
class Case:
    """One simulation: groups in the test set, true difference, whether there is held-out feedback too, and a seed."""

    groups: int
    difference: float
    has_feedback: bool
    seed: int


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=100, help="of a cell; worse and equal models get more")
    repeats = parser.parse_args().repeats
    begun = time.monotonic()
    outcomes = simulate(cases(repeats))
    rows = [{**row, **_bounds(row)} for row in _rows(outcomes)]
    Console(width=150).print(_table(rows))
    missed = [row for row in rows if row["share"] > _most(row["difference"])]
    for row in missed:
        print(
            f"MISSED: {row['groups']} groups, {row['difference']:+.2f}: promoted in {row['share']:.1%}", file=sys.stderr
        )
    print(json.dumps({"seconds": round(time.monotonic() - begun, 1), "missed": len(missed), "cells": rows}))
    return 1 if missed else 0


def cases(repeats: int) -> list[Case]:
    """Everything that is simulated, in a fixed order."""
    cells = [(groups, difference, False) for groups in GROUPS for difference in DIFFERENCES]
    cells += [(groups, 0.0, True) for groups in GROUPS]
    # A share of one in a hundred cannot be told from fewer.
    counts = [repeats * (4 if difference <= 0 else 1) for _, difference, _ in cells]
    return [Case(*cell, seed) for cell, count in zip(cells, counts, strict=True) for seed in range(count)]


def simulate(wanted: list[Case]) -> list[tuple[Case, bool, list[str]]]:
    """The decision of each case, and the rules that did not hold."""
    with ProcessPoolExecutor(PROCESSES) as executor:
        return list(executor.map(outcome, wanted, chunksize=50))


def outcome(case: Case) -> tuple[Case, bool, list[str]]:
    """Draw a test set and two models, and ask the policy."""
    with threadpool_limits(1):
        decision = _decision(case)
    return case, decision.is_promoted, [rule.name for rule in decision.rules if not rule.passed]


def _decision(case: Case) -> Decision:
    marks = [case.groups, round(100 * case.difference) + 100, int(case.has_feedback), case.seed]
    rng = np.random.default_rng(marks)
    test = _test_images(case.groups, rng)
    rates = ERROR_RATES * _factor(case.difference), ERROR_RATES
    answers = _answers(test, rates, rng)
    feedback: JudgedImages | None = None
    told: tuple[Answers | None, Answers | None] = (None, None)
    if case.has_feedback:
        feedback = _test_images(FEEDBACK_GROUPS, rng)
        told = _answers(feedback, rates, rng)
    ece = _calibrated_model_error(case.groups, rng)
    challenger, champion = (
        Candidate(version, "public", "net", answer, ece, parity=0.0, latency_ms=5.0, feedback=heard)
        for version, answer, heard in zip(("2", "1"), answers, told, strict=True)
    )
    return decide(challenger, champion, Evidence(test, feedback, case.seed))


def _test_images(groups: int, rng: np.random.Generator) -> JudgedImages:
    """Whole components of each class, drawn until there are enough groups; the last is cut off."""
    wanted = np.floor(CLASS_SHARES * groups).astype(int)
    wanted[0] += groups - wanted.sum()
    labels, components = [], []
    for index, count in enumerate(wanted):
        sizes = rng.permutation(_component_sizes()[index])
        members = np.repeat(np.arange(len(sizes)), sizes)[:count]
        labels.append(np.full(len(members), index))
        components.append(members + 1000 * index)
    joined = np.concatenate(labels)
    return JudgedImages(joined, np.concatenate(components), joined != NO_TUMOUR)


_SIZES: list[NDArray[np.int64]] = []


def _component_sizes() -> list[NDArray[np.int64]]:
    """Slices of each patient of the public data set, by class; without a tumour no patient is known."""
    if not _SIZES:
        slices = pd.read_parquet(Path(brain_assets.ml.__file__).with_name("public_slices.parquet"))
        slices["label"] = slices["name"].str[3:5].map(PREFIXES)
        by_patient = slices.drop_duplicates("slice").groupby(["label", "patient"]).size()
        known = {label: np.asarray(sizes, dtype=np.int64) for label, sizes in by_patient.groupby("label")}
        _SIZES.extend(known.get(index, _alone()) for index in range(len(CLASSES)))
    return _SIZES


def _alone() -> NDArray[np.int64]:
    return np.ones(348, np.int64)


def _answers(
    images: JudgedImages, rates: tuple[NDArray[np.float64], NDArray[np.float64]], rng: np.random.Generator
) -> tuple[Answers, Answers]:
    """What two models with these error rates say; what is hard for one is hard for the other."""
    wrong = _correlated(images, [rate[images.labels] for rate in rates], rng)
    beside = _correlated(images, [np.full(len(images), 1 - ON_TUMOUR)] * 2, rng)
    instead = [(CONFUSIONS.cumsum(axis=1)[images.labels] < rng.random((len(images), 1))).sum(axis=1) for _ in rates]
    first, second = (
        Answers(np.where(is_wrong, other, images.labels), ~is_beside)
        for is_wrong, other, is_beside in zip(wrong, instead, beside, strict=True)
    )
    return first, second


def _correlated(
    images: JudgedImages, rates: list[NDArray[np.float64]], rng: np.random.Generator
) -> list[NDArray[np.bool_]]:
    """For each model which images it fails at: a normal copula with the shares of `SHARED`."""
    from scipy.stats import norm

    members = np.unique(images.components, return_inverse=True)[1]
    patients = members.max() + 1
    common = SHARED[0] * rng.standard_normal(patients)[members] + SHARED[1] * rng.standard_normal(len(images))
    failures = []
    for rate in rates:
        own = SHARED[2] * rng.standard_normal(patients)[members] + SHARED[3] * rng.standard_normal(len(images))
        failures.append(common + own < norm.ppf(rate))
    return failures


_FACTORS: dict[float, float] = {0.0: 1.0}


def _factor(difference: float) -> float:
    """By what the champion's error rates are multiplied for a true macro-F1 that differs by so much (bisection)."""
    if difference not in _FACTORS:
        low, high, wanted = 0.0, 4.0, _true_macro_f1(1.0) + difference
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if _true_macro_f1(middle) > wanted else (low, middle)
        _FACTORS[difference] = low
    return _FACTORS[difference]


def _true_macro_f1(factor: float) -> float:
    rates = (ERROR_RATES * factor)[:, np.newaxis]
    shares = CLASS_SHARES[:, np.newaxis] * (rates * CONFUSIONS + (1 - rates) * np.eye(len(CLASSES)))
    return float(macro_f1(shares))


def _calibrated_model_error(groups: int, rng: np.random.Generator) -> float:
    """The calibration error that is measured on so many images when the truth is none."""
    confidence = rng.beta(9, 0.8, groups) * 0.75 + 0.25
    labels = np.where(rng.random(groups) < confidence, 0, 1)
    probabilities = np.repeat((1 - confidence[:, np.newaxis]) / 3, len(CLASSES), axis=1)
    probabilities[:, 0] = confidence
    return expected_calibration_error(probabilities, labels.astype(np.int64))


def _rows(outcomes: Iterable[tuple[Case, bool, list[str]]]) -> list[dict[str, Any]]:
    cells: dict[tuple[int, float, bool], list[tuple[bool, list[str]]]] = {}
    for case, is_promoted, failed in outcomes:
        cells.setdefault((case.groups, case.difference, case.has_feedback), []).append((is_promoted, failed))
    return [
        {
            "groups": groups,
            "difference": difference,
            "has_feedback": has_feedback,
            "repeats": len(found),
            "share": sum(is_promoted for is_promoted, _ in found) / len(found),
            "map_alone": sum(_families(failed) == {"map"} for _, failed in found) / len(found),
            "blocked_by": {name: count / len(found) for name, count in _blocking(found).most_common(4)},
        }
        for (groups, difference, has_feedback), found in cells.items()
    ]


def _blocking(found: list[tuple[bool, list[str]]]) -> Counter[str]:
    return Counter(family for _, failed in found for family in _families(failed))


def _families(rules: list[str]) -> set[str]:
    kinds = ("recall", "map", "better", "macro-F1", "calibration")
    return {next((kind for kind in kinds if rule.startswith(kind)), rule) for rule in rules}


def _bounds(row: dict[str, Any]) -> dict[str, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    share, count, z = row["share"], row["repeats"], 1.96
    centre, spread = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + (z / count / 2) ** 2)
    return {"low": max(0.0, (centre - spread) / (1 + z * z / count)), "high": (centre + spread) / (1 + z * z / count)}


def _most(difference: float) -> float:
    return MAX_SHARE_EQUAL if difference == 0 else MAX_SHARE_WORSE.get(difference, 1.0)


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("groups", "true difference", "promoted", "95 % interval", "of", "the map alone", "rules that stop it")
    for row in rows:
        blocked = ", ".join(f"{name} {share:.0%}" for name, share in row["blocked_by"].items())
        feedback = f" + {FEEDBACK_GROUPS} of feedback" if row["has_feedback"] else ""
        table.add_row(
            f"{row['groups']}{feedback}",
            f"{100 * row['difference']:+.0f} points",
            f"{row['share']:.1%}",
            f"{row['low']:.1%} to {row['high']:.1%}",
            str(row["repeats"]),
            f"{row['map_alone']:.0%}",
            blocked,
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
