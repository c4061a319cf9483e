"""Data: what the model learned from, and what would make its accuracy look better than it is."""

import html

import pandas as pd
import streamlit as st

from brain_core.data_versions import DataVersion, data_versions, read_finding, report_key
from brain_core.errors import ObjectNotFound
from dashboard.resources import bucket, failures_told
from dashboard.wording import CLASS_NAMES, NOTHING

REPORT_HEIGHT_PX = 900
ROW_HEIGHT_PX = 35
"""Of a table, by default."""

SOURCES = {
    "sample": "Synthetic slices drawn on a template brain, no patients: for trying the platform and nothing else.",
    "public": "The public data set (figshare, SARTAJ and Br35H).",
    "own": "Images of this installation.",
}
PARTS = {"train": "Training", "validation": "Validation", "test": "Test"}
SPLIT_COLUMNS = {
    "part": "Part",
    "label": "Class",
    "images": "Images",
    "groups": "Groups of copies",
    "components": "Components",
}
LEAKAGE_COLUMNS = {
    "label": "Class",
    "testing_images": "Testing images",
    "leaked_images": "Copies",
    "leaked_share": "Copies, share",
    "upright_leaked_share": "Upright copies",
    "known_patient_images": "Patient known",
    "shared_patient_share": "Patient shared",
    "leaked_or_shared_share": "Copy or patient",
}
SHORTCUT_COLUMNS = {
    "shortcut": "Shortcut",
    "balanced_accuracy": "Balanced accuracy",
    "low": "from",
    "high": "to",
    "chance": "Chance",
    "is_shortcut": "Tells the class",
    "note": "Note",
}
SHARES = ("balanced_accuracy", "low", "high", "chance")


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
    st.caption(
        "Whole groups of copies go to one part, and all slices of one patient where the patient is known; of images "
        "without a known patient, other slices of the same head may be in another part."
    )
    rows = rows.sort_values("part", key=lambda parts: parts.map([*PARTS].index), kind="stable").replace({"part": PARTS})
    _table(rows, SPLIT_COLUMNS, "Images and groups by part and class")


def _leakage(version: DataVersion) -> None:
    rows = read_finding(bucket(), version.version, "leakage")
    st.subheader("What the published split leaks", anchor=False)
    if not rows:
        st.caption("These images were not published with a split of their own, so there is nothing to leak.")
        return
    total = next((row for row in rows if row["label"] == "all"), rows[-1])
    share = total["leaked_share"]
    st.metric("Published Testing images that are copies of Training images", _percent(share), border=True)
    _table(pd.DataFrame(rows), LEAKAGE_COLUMNS, "Leakage by class")
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
        st.image(picture, caption="Balanced accuracy of each shortcut; the grey bars are chance.", width="content")
    except ObjectNotFound:
        pass
    rows["shortcut"] = rows["shortcut"].str.replace("_", " ")
    _table(rows, SHORTCUT_COLUMNS, "What each shortcut tells")


def _table(rows: pd.DataFrame, columns: dict[str, str], alt: str) -> None:
    """The columns that are there, in the order in which they are to be read."""
    shown = [name for name in columns if name in rows]
    shares = {name for name in shown if name.endswith("share") or name in SHARES}
    config = {
        name: st.column_config.NumberColumn(columns[name], format="percent") if name in shares else columns[name]
        for name in shown
    }
    named = rows[shown].replace({"label": {**CLASS_NAMES, "all": "All"}})
    height = 2 + ROW_HEIGHT_PX * (len(rows) + 1)
    st.dataframe(named, column_config=config, hide_index=True, width="stretch", height=height, alt=alt)


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.1%}"


if __name__ == "__main__":
    page()
