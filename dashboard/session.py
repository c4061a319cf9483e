"""What one browser session of the Predict page holds; no other session sees it."""

import streamlit as st

from dashboard.outcomes import Answer
from dashboard.uploads import Uploads


def uploads() -> Uploads:
    """The images of this session."""
    held: Uploads = st.session_state.setdefault("uploads", Uploads())
    return held


def is_label_first() -> bool:
    """Does the reader want to label an image before the answer is shown?"""
    return bool(st.session_state.get("label-first"))


def is_hidden(content: str, answer: Answer) -> bool:
    """Is the answer kept back until the reader has said what the image shows?"""
    return is_label_first() and answer.feedback is None and content not in _revealed()


def reveal(content: str) -> None:
    """Show an answer without a label."""
    _revealed().add(content)


def _revealed() -> set[str]:
    held: set[str] = st.session_state.setdefault("revealed", set())
    return held


def tell(message: str) -> None:
    """Say this in green at the top of the results, once."""
    st.session_state.said = message


def tell_trouble(message: str) -> None:
    """Say this in red at the top of the results, once."""
    st.session_state.trouble = message


def show_messages() -> None:
    """Say what waits to be said."""
    if message := st.session_state.pop("said", None):
        st.success(message, icon=":material/check_circle:")
    if trouble := st.session_state.pop("trouble", None):
        st.error(trouble, icon=":material/error:")
