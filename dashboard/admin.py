"""The entry of an admin key: who reviews feedback and chooses models has one; it lives as long as the browser session.

The key is in the session's own client and nowhere else: not in a setting, a cookie, a cache that sessions share, or a
log. Reloading the page forgets it, too.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from brain_core.client import BrainClient
from brain_core.errors import AccessRefused, ApiError, BrainError, ServiceUnreachable, TooManyRequests
from dashboard.resources import failures_told, settings
from dashboard.wording import sentence

CLIENT = "admin-client"
"""Name of the client with the key in the session's state."""

SERVICE_AWAY = (
    "The prediction service does not answer, so nothing can be looked up or changed here. "
    "Try again in a moment. If it stays away, ask whoever runs the platform."
)

BUSY = "Too many requests came at once. Wait a minute, then try again."

# What may stand in a header; anything else was not copied from `brain keys create`.
_SENDABLE = re.compile(r"[!-~]{1,500}")


def key_door() -> BrainClient | None:
    """The entry of a key, or that one is in use and the way to forget it.

    Returns:
        A client with the key; None while there is none.
    """
    client: BrainClient | None = st.session_state.get(CLIENT)
    if client is None:
        _entry()
    else:
        _in_use()
    return client


def forget_key() -> None:
    """Drop the session's key and its connections."""
    client: BrainClient | None = st.session_state.pop(CLIENT, None)
    if client is not None:
        client.close()


@contextmanager
def admin_failures_told() -> Iterator[None]:
    """Show what fails inside as a sentence; a key that is no longer good is forgotten, so that another can be given."""
    way_on: tuple[str, str] | None = None
    with failures_told():
        try:
            yield
        except AccessRefused:
            forget_key()
            way_on = "Enter another key", ":material/key:"
            raise
        except (ServiceUnreachable, TooManyRequests) as error:
            way_on = "Try again", ":material/refresh:"
            raise BrainError(admin_sentence(error)) from error
    if way_on is not None:
        # A click alone is enough: the page is drawn again.
        st.button(way_on[0], icon=way_on[1])


def admin_sentence(error: ApiError) -> str:
    """What went wrong with something that an admin asked for, and what to do; a key that is not good is forgotten."""
    if isinstance(error, AccessRefused):
        forget_key()
    if isinstance(error, TooManyRequests):
        return BUSY
    return SERVICE_AWAY if isinstance(error, ServiceUnreachable) else sentence(error)


def _entry() -> None:
    with st.container(border=True):
        st.markdown(
            "**This part needs an admin key**  \n"
            "Whoever runs the platform makes one with `brain keys create --scope admin`. It stays in this browser "
            "session only and is gone when you reload the page."
        )
        # Cleared when it is sent: a refused key does not stay in the page.
        with st.form("admin-key", clear_on_submit=True, border=False):
            key = st.text_input(
                "Admin key", key="admin-key-entry", type="password", autocomplete="off", placeholder="brain_…"
            )
            if st.form_submit_button("Use this key", icon=":material/lock_open:"):
                _try(key.strip() if key else "")


def _try(key: str) -> None:
    if not _SENDABLE.fullmatch(key):
        st.error("This is not a key. Copy it whole; it is one line and begins with brain_.", icon=":material/error:")
        return
    client = BrainClient(settings().dashboard.api_url, settings().dashboard.api_timeout_s, key)
    try:
        client.review_queue(limit=1)
    except ApiError as error:
        client.close()
        st.error(admin_sentence(error), icon=":material/error:")
        return
    st.session_state[CLIENT] = client
    st.rerun()


def _in_use() -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge("Admin key in use", icon=":material/key:", color="green")
        st.button("Forget the key", icon=":material/lock:", type="tertiary", on_click=forget_key)
