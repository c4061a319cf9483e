"""What one browser session holds, of the Predict page above all; no other session sees it."""

from collections.abc import Callable

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
    show_once("said", "trouble", ":material/check_circle:", st.success)


def show_once(said: str, trouble: str, icon: str, show: Callable[..., object] = st.toast) -> None:
    """Say what waits in the session's state under these names, and forget it: a message by `show`, trouble in red."""
    if message := st.session_state.pop(said, None):
        show(message, icon=icon)
    if text := st.session_state.pop(trouble, None):
        st.error(text, icon=":material/error:")
