"""Many images at once: how it went with them, all results in a table, and the choice of the one that is shown."""

from functools import partial

import pandas as pd
import streamlit as st

from dashboard import session
from dashboard.downloads import as_csv
from dashboard.outcomes import Answer, Failure, Outcome, Refusal
from dashboard.result_card import result_card
from dashboard.wording import CLASS_NAMES, NOTHING

_KINDS: dict[str, type[Outcome] | None] = {
    "All": None,
    "Answered": Answer,
    "Not a brain MRI": Refusal,
    "Not readable": Failure,
}


def results() -> None:
    """What became of the images: of one, the result; of several, the overview and the result of the chosen one."""
    held = session.uploads()
    if len(held.items) > 1 and held.outcomes:
        _overview()
        content = _chosen()
    else:
        content = next(iter(held.settled()), None)
    if content is not None:
        result_card(content)


def result_table() -> pd.DataFrame:
    """File, result and reason of every image of this session."""
    held = session.uploads()
    rows = [
        {"File": upload.name, "Result": _summary(content), "Why": _reason(held.outcomes.get(content))}
        for content, upload in held.items.items()
    ]
    return pd.DataFrame(rows)


def _overview() -> None:
    held = session.uploads()
    with st.container(border=True):
        st.markdown(f"**{len(held.items)} images**")
        for column, (name, count) in zip(st.columns(4), held.count().items(), strict=True):
            column.metric(name, count)
        with st.expander("All results in a table", icon=":material/table_rows:"):
            st.dataframe(result_table(), hide_index=True)
        with st.container(horizontal=True):
            st.download_button(
                "All results (CSV)",
                partial(as_csv, _to_take_home()),
                "brain-assets.csv",
                "text/csv",
                icon=":material/download:",
                on_click="ignore",
            )
            st.button("Clear the list", icon=":material/clear_all:", on_click=held.clear, help="Erases nothing.")


def _to_take_home() -> list[tuple[str, Outcome]]:
    held = session.uploads()
    shown = [content for content in held.settled() if not _is_hidden(content)]
    return [(held.items[content].name, held.outcomes[content]) for content in shown]


def _chosen() -> str | None:
    """Let the reader filter and choose; the content of the chosen image, None where there is none of the kind."""
    held = session.uploads()
    kind = _KINDS[st.segmented_control("Show", list(_KINDS), default="All", key="shown-kind", required=True) or "All"]
    contents = [each for each in held.settled() if kind is None or isinstance(held.outcomes[each], kind)]
    if not contents:
        st.caption("There are none of this kind.")
        return None
    if st.session_state.get("chosen") not in contents:
        st.session_state.chosen = contents[0]
    place = contents.index(st.session_state.chosen)
    st.session_state["chosen-image"] = st.session_state.chosen
    names = {content: _named(content) for content in contents}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox("Image", contents, key="chosen-image", format_func=names.__getitem__, on_change=_take_choice)
        _step("Previous", "arrow_back", contents[max(0, place - 1)])
        _step("Next", "arrow_forward", contents[min(len(contents) - 1, place + 1)])
    return contents[place]


def _step(label: str, icon: str, target: str) -> None:
    is_end = target == st.session_state.chosen
    st.button(label, icon=f":material/{icon}:", disabled=is_end, on_click=_choose, args=(target,))


def _take_choice() -> None:
    # Where the sidebar's own run comes first, Streamlit may not know the chooser's key here: the choice stays then.
    if (chosen := st.session_state.get("chosen-image")) is not None:
        st.session_state["chosen"] = chosen


def _choose(content: str) -> None:
    st.session_state.chosen = content


def _named(content: str) -> str:
    held = session.uploads()
    return f"{list(held.items).index(content) + 1} · {held.items[content].name} · {_summary(content)}"


def _is_hidden(content: str) -> bool:
    outcome = session.uploads().outcomes.get(content)
    return isinstance(outcome, Answer) and session.is_hidden(content, outcome)


def _summary(content: str) -> str:
    match session.uploads().outcomes.get(content):
        case Answer() if _is_hidden(content):
            return "label it first"
        case Answer(prediction):
            unsure = ", uncertain" if prediction.is_uncertain else ""
            return f"{CLASS_NAMES[prediction.predicted_class]} {prediction.confidence:.0%}{unsure}"
        case Refusal():
            return "not a brain MRI"
        case Failure():
            return "not readable"
        case _:
            return "waiting"


def _reason(outcome: Outcome | None) -> str:
    match outcome:
        case Refusal(reason):
            return reason
        case Failure(words):
            return words
        case _:
            return NOTHING
