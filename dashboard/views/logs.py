"""Logs: what happened to one request, from the durable spool."""

import streamlit as st

from dashboard.resources import failures_told, settings
from dashboard.spool import MAX_ROWS, EventFilter, read_events, services

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def page() -> None:
    """The whole page."""
    st.title("Logs")
    st.markdown(
        "The platform's own events, newest first. A prediction id finds everything that happened to one upload. "
        "The events hold no images, file names, addresses or keys."
    )
    with failures_told():
        wanted = _filter()
        events = read_events(settings().spool_path, wanted)
        if events.empty:
            st.info(_nothing(wanted), icon=":material/search_off:")
            return
        bound = f"the newest {MAX_ROWS}; narrow the filter to see others" if len(events) == MAX_ROWS else "all of them"
        st.caption(f"{len(events)} events, {bound}.")
        st.dataframe(
            events,
            column_config={
                "time": st.column_config.DatetimeColumn("Time (UTC)", format="YYYY-MM-DD HH:mm:ss.SSS", width="medium"),
                "level": st.column_config.TextColumn("Level", width="small"),
                "service": st.column_config.TextColumn("Service", width="small"),
                "action": "Action",
                "outcome": st.column_config.TextColumn("Outcome", width="small"),
                "message": st.column_config.TextColumn("Message", width="large"),
                "prediction_id": "Prediction id",
                "error": "Error",
            },
            hide_index=True,
            width="stretch",
            height=560,
            alt="Log events, newest first",
        )


def _filter() -> EventFilter:
    service, level, text, prediction = st.columns([1, 1, 1.6, 1.8])
    return EventFilter(
        service=service.selectbox("Service", ["", *services(settings().spool_path)], format_func=_or_all),
        level=level.selectbox("Level", ["", *LEVELS], format_func=_or_all),
        text=text.text_input("Text", placeholder="in the message or the error"),
        prediction_id=prediction.text_input(
            "Prediction id", placeholder="0199c1f2-…", bind="query-params", key="prediction"
        ),
    )


def _or_all(name: str) -> str:
    return name or "All"


def _nothing(wanted: EventFilter) -> str:
    if wanted == EventFilter():
        return "No events yet. They appear here as soon as a part of the platform logs one."
    return "No event matches. Widen the filter: an empty field lets everything through."


if __name__ == "__main__":
    page()
