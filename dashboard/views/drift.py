"""Drift: do the images of today still look like those that the model was judged on?"""

import html
from typing import Any
from uuid import UUID

import pandas as pd
import streamlit as st

from dashboard.queries import drift_runs, drift_summary
from dashboard.resources import bucket, engine, failures_told
from dashboard.wording import NOTHING

REPORT_HEIGHT_PX = 900
# The report is made for a wider window than the page has room for.
ZOOM = 0.7
FRAME_STYLE = (
    f"border:0;background:white;width:{100 / ZOOM:.1f}%;height:{REPORT_HEIGHT_PX / ZOOM:.0f}px;"
    f"transform:scale({ZOOM});transform-origin:0 0"
)


def page() -> None:
    """The whole page."""
    st.title("Drift")
    st.markdown(
        "Recent uploads compared with the test images that the model was judged on. "
        "Drift does not say that the model is wrong; it says that its test results may no longer hold."
    )
    with failures_told():
        runs = drift_runs(engine())
        if runs.empty:
            st.info(
                "There is no drift report yet. The pipeline makes one a day; in Dagit, materialise `drift_report` to "
                "have one now.",
                icon=":material/hourglass_empty:",
            )
            return
        run = _choose(runs)
        _verdict(run)
        _columns(run)
        _report(run)
        _all_runs(runs)


def _choose(runs: pd.DataFrame) -> pd.Series:
    place = st.selectbox(
        "Report",
        range(len(runs)),
        format_func=lambda index: f"{runs['created_at'][index]:%Y-%m-%d %H:%M} UTC · {runs['finding'][index]}",
    )
    return runs.iloc[place]


def _verdict(run: pd.Series) -> None:
    found, uploads, share, model = st.columns([3, 2, 2, 2])
    found.metric("Finding", run["finding"].capitalize(), border=True)
    uploads.metric("Uploads compared", int(run["row_count"]), border=True)
    share.metric(
        "Drifted columns", NOTHING if pd.isna(run["drifted_share"]) else f"{run['drifted_share']:.0%}", border=True
    )
    model.metric("Model version", run["model_version"], border=True)
    if not run["is_assessed"]:
        st.info("There were too few recent uploads to say anything about drift.", icon=":material/hourglass_empty:")


def _columns(run: pd.Series) -> None:
    summary = drift_summary(engine(), UUID(str(run["id"])))
    columns = pd.DataFrame(summary.get("columns", []))
    if columns.empty:
        return
    st.subheader("Column by column", anchor=False)
    names: dict[str, Any] = {
        "column": "Column",
        "test": "Test",
        "p_value": st.column_config.NumberColumn("p-value", format="%.2g"),
        "adjusted_p_value": st.column_config.NumberColumn("Adjusted p-value", format="%.2g"),
        "is_drifted": "Drifted",
    }
    st.dataframe(
        columns,
        column_config=names,
        column_order=list(names),
        hide_index=True,
        width="stretch",
        alt="What the run found for each column",
    )
    st.caption(
        f"{summary.get('recent_rows', 0)} uploads against {summary.get('reference_rows', 0)} test images. A column has "
        "drifted when its p-value, adjusted for the number of columns (Holm), is below "
        f"{summary.get('alpha', NOTHING)}."
    )


def _report(run: pd.Series) -> None:
    st.subheader("Evidently's report", anchor=False)
    if not run["report_key"]:
        st.caption("This run made no report.")
        return
    st.caption("Evidently judges with thresholds of its own, so its words may differ from the finding above.")
    if st.toggle("Show the report (4 MB)", key=f"report-{run['id']}"):
        with failures_told(), st.spinner("Fetching the report …"):
            report = bucket().read(str(run["report_key"]))
            st.iframe(_sandboxed(report), height=REPORT_HEIGHT_PX, alt="Evidently's drift report")
            st.download_button("Download it", report, "drift-report.html", "text/html", icon=":material/download:")


def _sandboxed(report: bytes) -> str:
    # The report has an origin of its own: its scripts cannot reach this page.
    source = html.escape(report.decode("utf-8", "replace"))
    frame = f'<iframe sandbox="allow-scripts" title="Drift report" style="{FRAME_STYLE}" srcdoc="{source}"></iframe>'
    return f'<div style="overflow:hidden;height:{REPORT_HEIGHT_PX}px">{frame}</div>'


def _all_runs(runs: pd.DataFrame) -> None:
    st.subheader("All runs", anchor=False)
    st.dataframe(
        runs[["created_at", "finding", "drifted_share", "row_count", "model_version"]],
        column_config={
            "created_at": st.column_config.DatetimeColumn("Time (UTC)", format="YYYY-MM-DD HH:mm:ss"),
            "finding": "Finding",
            "drifted_share": st.column_config.NumberColumn("Drifted columns", format="percent"),
            "row_count": "Uploads",
            "model_version": "Model version",
        },
        hide_index=True,
        width="stretch",
        alt="All drift runs, newest first",
    )


if __name__ == "__main__":
    page()
