"""Data: what the model learned from, and what would make its accuracy look better than it is."""

import html
from typing import Any

import pandas as pd
import streamlit as st

from brain_core.data_versions import DataVersion, data_versions, read_finding, report_key
from brain_core.errors import ObjectNotFound
from dashboard.resources import bucket, failures_told
from dashboard.wording import CLASS_NAMES, NOTHING

REPORT_HEIGHT_PX = 900
SOURCES = {
    "sample": "Synthetic slices drawn on a template brain, no patients: for trying the platform and nothing else.",
    "public": "The public data set (figshare, SARTAJ and Br35H).",
    "own": "Images of this installation.",
}
PERCENT = st.column_config.NumberColumn(format="percent")


def page() -> None:
    """The whole page."""
    st.title("Data")
    st.markdown(
        "What the model learned from. Copies of one slice, or slices of one head, on both sides of a split make a "
        "model look better than it is; so do shortcuts that no doctor would use."
    )
    with failures_told():
        versions = data_versions(bucket())
        if not versions:
            st.info("No data was built yet. `brain up` does it.", icon=":material/hourglass_empty:")
            return
        version = _choose(versions)
        _overview(version)
        _splits(version)
        _leakage(version)
        _shortcuts(version)


def _choose(versions: list[DataVersion]) -> DataVersion:
    newest_first = versions[::-1]
    return st.selectbox(
        "Version of the data",
        newest_first,
        format_func=lambda entry: f"{entry.version} · {entry.created_at:%Y-%m-%d %H:%M} UTC · {entry.images} images",
    )


def _overview(version: DataVersion) -> None:
    st.caption(SOURCES.get(version.source, version.source))
    columns = st.columns(len(CLASS_NAMES) + 1)
    for column, (label, name) in zip(columns, CLASS_NAMES.items(), strict=False):
        column.metric(name, f"{version.images_by_class.get(label, 0):,}", border=True)
    columns[-1].metric("Unreadable, left out", f"{version.unreadable_images:,}", border=True)


def _splits(version: DataVersion) -> None:
    rows = pd.DataFrame(read_finding(bucket(), version.version, "splits"))
    st.subheader("Split", anchor=False)
    if rows.empty:
        st.caption("Not made yet.")
        return
    st.caption("Whole groups of copies and of slices of one patient go to one part, so nothing crosses.")
    _table(rows, "Images and groups by part and class")


def _leakage(version: DataVersion) -> None:
    rows = read_finding(bucket(), version.version, "leakage")
    st.subheader("The published split leaks", anchor=False)
    if not rows:
        st.caption("These images were not published with a split of their own, so there is nothing to leak.")
        return
    total = next((row for row in rows if row["label"] == "all"), rows[-1])
    share = total["leaked_share"]
    st.metric("Published Testing images that are copies of Training images", _percent(share), border=True)
    _table(pd.DataFrame(rows), "Leakage by class")
    _report(version)


def _report(version: DataVersion) -> None:
    if not st.toggle("Show the report with the pairs", key=f"leakage-{version.version}"):
        return
    with failures_told(), st.spinner("Fetching the report …"):
        report = bucket().read(report_key(version.version, "leakage.html"))
        st.iframe(_framed(report), height=REPORT_HEIGHT_PX, alt="Report about copies in the published split")
        st.download_button("Download it", report, "leakage.html", "text/html", icon=":material/download:")


def _framed(report: bytes) -> str:
    # No scripts and an origin of its own: the report is pictures and text only.
    source = html.escape(report.decode("utf-8", "replace"))
    style = f"border:0;background:white;width:100%;height:{REPORT_HEIGHT_PX}px"
    return f'<iframe sandbox="" title="Leakage report" style="{style}" srcdoc="{source}"></iframe>'


def _shortcuts(version: DataVersion) -> None:
    rows = pd.DataFrame(read_finding(bucket(), version.version, "shortcuts"))
    st.subheader("Shortcuts", anchor=False)
    if rows.empty:
        st.caption("Not audited yet.")
        return
    st.caption(
        "How well the class can be told without looking at the brain: cross-validated balanced accuracy against chance."
    )
    try:
        picture = bucket().read(report_key(version.version, "shortcuts.png"))
        st.image(picture, caption="Balanced accuracy of each shortcut; the line is chance.", width="content")
    except ObjectNotFound:
        pass
    _table(rows, "What each shortcut tells")


def _table(rows: pd.DataFrame, alt: str) -> None:
    shares = {name: PERCENT for name in rows.columns if name.endswith("share") or name == "balanced_accuracy"}
    labels: dict[str, Any] = {name: name.replace("_", " ").capitalize() for name in rows.columns if name not in shares}
    shown = rows.replace({"label": {**CLASS_NAMES, "all": "All"}})
    st.dataframe(shown, column_config={**labels, **shares}, hide_index=True, width="stretch", alt=alt)


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.1%}"


if __name__ == "__main__":
    page()
