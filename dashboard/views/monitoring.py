"""Monitoring: what is asked of the model, what it answers, how fast, and what readers say about it."""

from datetime import UTC, datetime, timedelta

import altair as alt
import pandas as pd
import streamlit as st

from brain_core.corrections import CorrectionStore
from dashboard import charts, queries
from dashboard.resources import engine, failures_told, settings
from dashboard.wording import CLASS_NAMES, NOTHING

PERIODS = {"24 hours": timedelta(hours=24), "7 days": timedelta(days=7), "30 days": timedelta(days=30), "All": None}
TIME_UNITS = {"hour": "utcyearmonthdatehours", "day": "utcyearmonthdate"}
HOURLY_UP_TO = timedelta(days=1)
ANSWERED, REFUSED = "accepted", "refused"


def page() -> None:
    """The whole page."""
    st.title("Monitoring")
    choice = st.segmented_control("Period", list(PERIODS), default="7 days", required=True, key="period")
    period = PERIODS[choice or "7 days"]
    now = datetime.now(UTC)
    since = None if period is None else now - period
    with failures_told():
        _totals(queries.totals(engine(), since))
        _retraining()
        by_class = queries.by_class(engine(), since)
        if by_class["count"].sum() == 0:
            st.info("No predictions in this period. Upload a slice on the Predict page.", icon=":material/bar_chart:")
        _over_time(since, "hour" if period and period <= HOURLY_UP_TO else "day")
        _class_panels(by_class)
        _gate_panels(since)
    st.caption(f"As of {now:%Y-%m-%d %H:%M:%S} UTC. Erased images are counted as erased and nowhere else.")


def _totals(totals: pd.Series) -> None:
    answered, refused = int(totals["answered"]), int(totals["refused"])
    judged = int(totals["agreed"] + totals["disagreed"])
    figures = {
        "Inferences": (f"{answered:,}", "Accepted uploads that the model answered."),
        "Valid": (_share(answered, answered + refused), f"{refused} of {answered + refused} were refused."),
        "Uncertain": (_share(int(totals["uncertain"]), answered), "Answers below the model's own threshold."),
        "Agreement": (_share(int(totals["agreed"]), judged), f"Readers judged {judged} answers."),
        "Latency": (_ms(totals["p50_ms"]), f"Median; 95th percentile {_ms(totals['p95_ms'])}."),
        "Erased": (f"{int(totals['erased']):,}", "Erased by their owners."),
    }
    for column, (label, (value, explanation)) in zip(st.columns(len(figures)), figures.items(), strict=True):
        column.metric(label, value, help=explanation, border=True)


def _retraining() -> None:
    threshold = settings().feedback.threshold
    waiting = CorrectionStore(engine()).unclaimed_image_count()
    text = f"**{waiting} of more than {threshold}** corrected images wait for the next retraining"
    st.progress(min(1.0, waiting / (threshold + 1)), text=text)


def _over_time(since: datetime | None, step: str) -> None:
    frame = queries.over_time(engine(), since, step)
    names = {**CLASS_NAMES, REFUSED: "Refused"}
    frame = frame.assign(name=[names[str(outcome)] for outcome in frame["outcome"]])
    with _panel(f"Uploads over time, by {step}"):
        x = alt.X(f"{TIME_UNITS[step]}(time):T", title="time (UTC)")
        charts.columns(frame, x, {**charts.CLASS_COLOURS, "Refused": charts.GREY}, "uploads over time")


def _class_panels(frame: pd.DataFrame) -> None:
    left, right = st.columns(2)
    with left, _panel("Inferences per class"):
        charts.bars(frame, "count", "predictions", ",.0f")
    with right, _panel("Mean probability per class"):
        charts.bars(frame, "mean_probability", "mean probability of the answer", ".1%")
    left, right = st.columns(2)
    with left, _panel("Feedback per class"):
        _feedback(frame)
    with right, _panel("Latency per class"):
        _latency(frame)


def _feedback(frame: pd.DataFrame) -> None:
    renamed = frame.rename(columns={"agreed": "right", "disagreed": "wrong"}).rename(index=CLASS_NAMES)
    long = renamed[["right", "wrong"]].rename_axis("name").reset_index().melt("name", None, "answer", "count")
    charts.stacked(long, "answer", {"right": charts.GOOD, "wrong": charts.BAD}, "answers of readers")


def _latency(frame: pd.DataFrame) -> None:
    shown = frame[["count", "p50_ms", "p95_ms"]].rename(index=CLASS_NAMES).rename_axis("Class").reset_index()
    milliseconds = {
        name: st.column_config.NumberColumn(label, format="%.1f ms")
        for name, label in {"p50_ms": "Median", "p95_ms": "95th percentile"}.items()
    }
    config = {"count": st.column_config.NumberColumn("Predictions"), **milliseconds}
    st.dataframe(shown, column_config=config, hide_index=True, width="stretch", alt="Latency per class")


def _gate_panels(since: datetime | None) -> None:
    frame = queries.correlations(engine(), since)
    frame = frame.assign(name=[ANSWERED if is_valid else REFUSED for is_valid in frame["is_valid"]])
    colours = {ANSWERED: charts.GOOD, REFUSED: charts.BAD}
    left, right = st.columns(2)
    with left, _panel("Valid and invalid uploads"):
        counts = frame[["name", "count"]].groupby("name", as_index=False).sum()
        charts.columns(counts, alt.X("name:N", title=None, axis=alt.Axis(labelAngle=0)), colours, "uploads")
    with right, _panel("Correlation with the training histograms"):
        x = alt.X(
            "low:Q",
            bin="binned",
            title="best correlation of the grey histogram",
            axis=alt.Axis(tickCount=6, format=".1f"),
        )
        charts.columns(frame, x, colours, "uploads by correlation", x2=alt.X2("high"))


def _panel(title: str) -> st.delta_generator.DeltaGenerator:
    panel = st.container(border=True)
    panel.markdown(f"**{title}**")
    return panel


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else NOTHING


def _ms(value: float | None) -> str:
    return NOTHING if value is None or pd.isna(value) else f"{value:.0f} ms"


if __name__ == "__main__":
    page()
