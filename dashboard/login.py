"""Logging in by OpenID Connect, where the operator asks for it; Streamlit talks to the provider."""

import streamlit as st
from streamlit.errors import StreamlitAuthError

from brain_core.errors import SettingsError
from dashboard.resources import settings

_NOT_SET_UP = (
    "BRAIN_DASHBOARD__LOGIN is set, but Streamlit's secrets have no complete [auth] part. Write one (see "
    "“Login” in docs/operations.md), name its file in STREAMLIT_SECRETS_FILES, and start the dashboard again."
)


def is_let_in() -> bool:
    """May this reader see the pages? Draws the way to log in, or out, where there is one.

    Raises:
        SettingsError: readers have to log in, but no provider is set.
    """
    if not settings().dashboard.login:
        return True
    if not _has_provider():
        raise SettingsError(_NOT_SET_UP)
    if st.user.get("is_logged_in"):
        with st.sidebar:
            st.caption(f"Logged in as {st.user.get('email') or st.user.get('name') or 'a reader'}")
            st.button("Log out", icon=":material/logout:", on_click=st.logout)
        return True
    st.title("Brain Assets")
    st.markdown("Please log in to go on. The platform takes your name or e-mail address only to show it to you.")
    if st.button("Log in", icon=":material/login:", type="primary"):
        _log_in()
    return False


def _has_provider() -> bool:
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False


def _log_in() -> None:
    try:
        st.login()
    except StreamlitAuthError as error:
        raise SettingsError(_NOT_SET_UP) from error
