"""Has what comes in changed? Our own p-values, and Evidently's report to look at; the only importer of evidently.

Each descriptor and the confidence: two-sample Kolmogorov-Smirnov test. The class mix: chi-squared test. Embeddings:
maximum mean discrepancy with a permutation p-value (Gretton et al. 2012, JMLR 13:723-773). Holm's correction
(Holm 1979) holds the chance of any false alarm at `ALPHA`.
"""

import html
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_core.descriptors import DESCRIPTOR_NAMES
from brain_core.labels import NOTICE

ALPHA = 0.05
MIN_ROWS = 20
"""With fewer recent rows drift is not assessed."""

MAX_EMBEDDINGS = 500
PERMUTATIONS = 200
NUMERIC_COLUMNS = (*DESCRIPTOR_NAMES, "confidence")

_NOTICE_STYLE = "margin:0;padding:12px 16px;background:#fff3cd;color:#3d2f00;font:600 16px/1.4 sans-serif"
_NOTICE_HTML = f'<p role="note" style="{_NOTICE_STYLE}">{html.escape(NOTICE)}</p>'


@dataclass(frozen=True)
class DriftAssessment:
    """What a comparison found.

    Attributes:
        row_count: recent rows.
        is_assessed: there were enough of them.
        is_drifted: some column drifted; None when not assessed.
        drifted_share: share of the columns that drifted, [0, 1]; None when not assessed.
        summary: JSON: `alpha`, `reference_rows`, `recent_rows`, and `columns` with test, p-value and adjusted p-value.
        html: Evidently's report below our notice; None when not assessed.
    """

    row_count: int
    is_assessed: bool
    is_drifted: bool | None
    drifted_share: float | None
    summary: dict[str, Any]
    html: bytes | None


def assess_drift(reference: pd.DataFrame, recent: pd.DataFrame, seed: int = 0) -> DriftAssessment:
    """Compare recent predictions with the reference.

    Args:
        reference: `NUMERIC_COLUMNS`, predicted_class, embedding (float32 (E,)) of the champion's test images.
        recent: the same columns of recent predictions.
        seed: of the permutations.
    """
    summary: dict[str, Any] = {"alpha": ALPHA, "reference_rows": len(reference), "recent_rows": len(recent)}
    if len(recent) < MIN_ROWS:
        return DriftAssessment(len(recent), False, None, None, {**summary, "columns": []}, None)
    found = _tests(reference, recent, seed)
    adjusted = holm([p_value for _, _, p_value in found])
    columns = [
        {"column": name, "test": test, "p_value": p, "adjusted_p_value": a, "is_drifted": bool(a < ALPHA)}
        for (name, test, p), a in zip(found, adjusted.tolist(), strict=True)
    ]
    share = sum(column["is_drifted"] for column in columns) / len(columns)
    report = with_notice(_evidently_report(reference, recent))
    return DriftAssessment(len(recent), True, share > 0, share, {**summary, "columns": columns}, report)


def with_notice(page: str) -> bytes:
    """An HTML page with `labels.NOTICE` above everything else; in front where the page has no body."""
    body = re.search(r"<body[^>]*>", page)
    place = body.end() if body else 0
    return (page[:place] + _NOTICE_HTML + page[place:]).encode()


def holm(p_values: list[float]) -> NDArray[np.float64]:
    """Holm's adjusted p-values, in the given order."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def mmd_p_value(x: NDArray[np.float32], y: NDArray[np.float32], seed: int = 0) -> float:
    """Permutation p-value of the squared MMD between (N, E) and (M, E), Gaussian kernel of the median distance."""
    from scipy.spatial.distance import cdist

    both = np.concatenate([x, y])
    distances = cdist(both, both, "sqeuclidean")
    median = float(np.median(distances[np.triu_indices_from(distances, k=1)]))
    kernel = np.exp(-distances / (median or 1.0))
    rng = np.random.default_rng(seed)
    # +1 for a row of x, -1 for a row of y, each weighted by its count: MMD^2 is then w' K w.
    weights = np.concatenate([np.full(len(x), 1 / len(x)), np.full(len(y), -1 / len(y))])
    shuffled = np.stack([weights, *(rng.permutation(weights) for _ in range(PERMUTATIONS))])
    statistics = np.einsum("pi,pi->p", shuffled @ kernel, shuffled)
    return float((1 + (statistics[1:] >= statistics[0] - 1e-12).sum()) / (1 + PERMUTATIONS))


def _tests(reference: pd.DataFrame, recent: pd.DataFrame, seed: int) -> list[tuple[str, str, float]]:
    from scipy.stats import ks_2samp

    found = [
        (name, "Kolmogorov-Smirnov", float(ks_2samp(reference[name], recent[name]).pvalue)) for name in NUMERIC_COLUMNS
    ]
    found.append(("predicted_class", "chi-squared", _class_mix_p_value(reference, recent)))
    rng = np.random.default_rng(seed)
    x, y = (_some_embeddings(table, rng) for table in (reference, recent))
    return [*found, ("embedding", "maximum mean discrepancy", mmd_p_value(x, y, seed))]


def _class_mix_p_value(reference: pd.DataFrame, recent: pd.DataFrame) -> float:
    from scipy.stats import chi2_contingency

    mixes = [table["predicted_class"].value_counts() for table in (reference, recent)]
    counts = pd.concat(mixes, axis=1).fillna(0).to_numpy()
    return float(chi2_contingency(counts).pvalue) if len(counts) > 1 else 1.0


def _some_embeddings(table: pd.DataFrame, rng: np.random.Generator) -> NDArray[np.float32]:
    chosen = rng.permutation(len(table))[:MAX_EMBEDDINGS]
    return np.stack([np.asarray(row, dtype=np.float32) for row in table["embedding"].iloc[chosen]])


def _evidently_report(reference: pd.DataFrame, recent: pd.DataFrame) -> str:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(numerical_columns=list(NUMERIC_COLUMNS), categorical_columns=["predicted_class"])
    columns = [*NUMERIC_COLUMNS, "predicted_class"]
    datasets = [Dataset.from_pandas(table[columns], data_definition=definition) for table in (recent, reference)]
    # Evidently takes the current data first.
    page: str = Report([DataDriftPreset()]).run(*datasets).get_html_str(as_iframe=False)
    return page
