"""The pages' figures: read-only SQL on PostgreSQL, as data frames.

Every function raises `DatabaseError` when PostgreSQL is away or its tables are not there yet. `since` (UTC) leaves
out what is older; None leaves out nothing. Erased predictions are counted as erased and nowhere else.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import pandas as pd
from sqlalchemy import ColumnElement, Engine, Float, Select, and_, case, func, select
from sqlalchemy.exc import ProgrammingError

from brain_core.database import translated_errors
from brain_core.errors import DatabaseError
from brain_core.labels import CLASSES
from brain_core.tables import DriftRunRow, FeedbackRow, PredictionRow

CORRELATION_BINS_PER_UNIT = 20
MAX_DRIFT_RUNS = 100

Query = Select[*tuple[Any, ...]]

_IS_KEPT = PredictionRow.deleted_at.is_(None)
_IS_ANSWERED = and_(_IS_KEPT, PredictionRow.is_valid)


def totals(engine: Engine, since: datetime | None = None) -> pd.Series:
    """`answered`, `refused`, `erased`, `uncertain`, `agreed`, `disagreed` (counts) and `p50_ms`, `p95_ms`."""
    counts = {
        "answered": _IS_ANSWERED,
        "refused": and_(_IS_KEPT, ~PredictionRow.is_valid),
        "erased": ~_IS_KEPT,
        "uncertain": and_(_IS_ANSWERED, PredictionRow.is_uncertain.is_(True)),
    }
    columns = [func.count().filter(condition).label(name) for name, condition in counts.items()]
    query = select(*columns, *_verdicts_and_latencies())
    return _frame(engine, _in_period(_with_feedback(query), since)).iloc[0]


def by_class(engine: Engine, since: datetime | None = None) -> pd.DataFrame:
    """One row for each class, in the order of `CLASSES`, with `predicted_class` as the index.

    `count`, `mean_probability` (of the class, where it was the answer), `agreed`, `disagreed`, `p50_ms`, `p95_ms`.
    """
    query = select(
        PredictionRow.predicted_class,
        func.count().label("count"),
        func.avg(PredictionRow.confidence).label("mean_probability"),
        *_verdicts_and_latencies(),
    )
    query = _in_period(_with_feedback(query), since).where(_IS_ANSWERED).group_by(PredictionRow.predicted_class)
    frame = _frame(engine, query).set_index("predicted_class").reindex(list(CLASSES)).astype(float)
    counts = ["count", "agreed", "disagreed"]
    return frame.assign(**{name: frame[name].fillna(0).astype(int) for name in counts})


def over_time(engine: Engine, since: datetime | None = None, step: str = "day") -> pd.DataFrame:
    """`time` (UTC, start of the `hour` or `day` that `step` says), `outcome` (a class or `refused`), `count`."""
    time = func.date_trunc(step, PredictionRow.created_at).label("time")
    outcome = case((PredictionRow.is_valid, PredictionRow.predicted_class), else_="refused").label("outcome")
    query = select(time, outcome, func.count().label("count")).where(_IS_KEPT)
    return _frame(engine, _in_period(query, since).group_by(time, outcome).order_by(time))


def correlations(engine: Engine, since: datetime | None = None) -> pd.DataFrame:
    """How uploads correlate with the training histograms: `low` and `high` (bin), `is_valid`, `count`."""
    # A correlation of exactly 1 belongs to the last bin.
    last = (CORRELATION_BINS_PER_UNIT - 1) / CORRELATION_BINS_PER_UNIT
    place = func.floor(PredictionRow.histogram_correlation * CORRELATION_BINS_PER_UNIT) / CORRELATION_BINS_PER_UNIT
    low = func.least(place, last).label("low")
    query = select(low, PredictionRow.is_valid, func.count().label("count")).where(_IS_KEPT)
    frame = _frame(engine, _in_period(query, since).group_by(low, PredictionRow.is_valid).order_by(low))
    return frame.assign(low=frame["low"].astype(float), high=frame["low"].astype(float) + 1 / CORRELATION_BINS_PER_UNIT)


def drift_runs(engine: Engine) -> pd.DataFrame:
    """The newest drift runs, newest first: the table without `summary`, and `finding` in words."""
    columns = [column for column in DriftRunRow.__table__.columns if column.name != "summary"]
    finding = case(
        (~DriftRunRow.is_assessed, "not assessed"), (DriftRunRow.is_drifted.is_(True), "drift"), else_="no drift"
    )
    query = select(*columns, finding.label("finding"))
    return _frame(engine, query.order_by(DriftRunRow.created_at.desc()).limit(MAX_DRIFT_RUNS))


def drift_summary(engine: Engine, run_id: UUID) -> dict[str, Any]:
    """What one drift run found; empty when there is no such run."""
    rows = _frame(engine, select(DriftRunRow.summary).where(DriftRunRow.id == run_id))["summary"]
    return dict(rows.iloc[0]) if len(rows) else {}


def _verdicts_and_latencies() -> list[ColumnElement[Any]]:
    stage = func.jsonb_each_text(PredictionRow.timings_ms).table_valued("key", "value")
    total_ms = select(func.sum(stage.c.value.cast(Float))).scalar_subquery()
    return [
        func.count().filter(_IS_ANSWERED, FeedbackRow.agrees).label("agreed"),
        func.count().filter(_IS_ANSWERED, ~FeedbackRow.agrees).label("disagreed"),
        func.percentile_cont(0.5).within_group(total_ms).filter(_IS_ANSWERED).label("p50_ms"),
        func.percentile_cont(0.95).within_group(total_ms).filter(_IS_ANSWERED).label("p95_ms"),
    ]


def _with_feedback(query: Query) -> Query:
    return query.select_from(PredictionRow).outerjoin(FeedbackRow, FeedbackRow.prediction_id == PredictionRow.id)


def _in_period(query: Query, since: datetime | None) -> Query:
    return query if since is None else query.where(PredictionRow.created_at >= since)


def _frame(engine: Engine, query: Query) -> pd.DataFrame:
    try:
        with translated_errors(), engine.connect() as connection:
            result = connection.execute(query)
            return pd.DataFrame(result.all(), columns=list(result.keys()))
    except ProgrammingError as exc:
        raise DatabaseError("The tables are not in the database yet. `brain up` makes them; wait for it.") from exc
