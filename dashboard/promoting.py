"""Making a model the champion: asking for it with a confirmation, and what became of what was asked for."""

from typing import Any

import streamlit as st

from brain_core.client import BrainClient
from brain_core.contracts import ModelList, ModelVersion, PromotionOrder
from brain_core.errors import ApiError
from dashboard.admin import admin_failures_told, admin_sentence
from dashboard.decision_words import told
from dashboard.plain_text import escaped
from dashboard.session import show_once

REFRESH_S = 3.0
"""So often the page looks whether a promotion that waits was carried out."""

SHOWN_ORDERS = 5
LISTED, SAID, TROUBLE = "models-listed", "models-said", "models-trouble"
STATES: dict[str, dict[str, Any]] = {
    "queued": {"label": "Waiting", "icon": ":material/hourglass_empty:", "color": "orange"},
    "done": {"label": "Done", "icon": ":material/check_circle:", "color": "green"},
    "refused": {"label": "Refused", "icon": ":material/block:", "color": "red"},
}


def way_back(listed: ModelList) -> ModelVersion | None:
    """The champion before, as far as it is still there and can be read; None where there is no way back."""
    usable = {model.version: model for model in listed.models if model.fault is None and not model.is_champion}
    return next((usable[version] for version in listed.former if version in usable), None)


def promote_button(client: BrainClient, listed: ModelList, model: ModelVersion) -> None:
    """A button that asks before anything happens."""
    if st.button("Make it the champion", key=f"promote-{model.version}", icon=":material/trophy:"):
        _ask_first(client, listed, model, is_way_back=False)


def roll_back_button(client: BrainClient, listed: ModelList) -> None:
    """A button for the champion before, which asks before anything happens; nothing where there is no way back."""
    former = way_back(listed)
    if former is None:
        return
    if st.button(f"Roll back to version {former.version}", key="roll-back", icon=":material/undo:"):
        _ask_first(client, listed, former, is_way_back=True)


def orders(client: BrainClient, listed: ModelList) -> None:
    """The newest requests; looked at again by itself while one waits, and the page with it when that is done."""
    st.session_state[LISTED] = listed
    is_waiting = bool(_waiting(listed.requests))
    st.fragment(_orders, run_every=REFRESH_S if is_waiting else None)(client)


def _orders(client: BrainClient) -> None:
    with admin_failures_told():
        before: ModelList = st.session_state[LISTED]
        # The page has just asked; only what runs by itself asks again.
        if st.session_state.pop("models-fresh", False):
            now = before
        else:
            now = st.session_state[LISTED] = client.models()
            if _waiting(now.requests) != _waiting(before.requests):
                st.rerun(scope="app")
        for order in now.requests[:SHOWN_ORDERS]:
            _order(order)


def _waiting(requests: list[PromotionOrder]) -> set[str]:
    return {str(order.id) for order in requests if order.state == "queued"}


def _order(order: PromotionOrder) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(**STATES[order.state])
        st.markdown(f"**Version {escaped(order.model_version)}**", width="content")
        st.caption(f"asked for by {escaped(order.requested_by)}, {order.created_at:%Y-%m-%d %H:%M} UTC")
    message = order.message or (
        "The pipeline carries it out within a minute; this list follows by itself." if order.state == "queued" else ""
    )
    if message:
        st.markdown(escaped(message))


def _ask_first(client: BrainClient, listed: ModelList, model: ModelVersion, is_way_back: bool) -> None:
    title = f"Roll back to version {model.version}?" if is_way_back else f"Make version {model.version} the champion?"
    st.dialog(title, icon=":material/trophy:")(_confirmation)(client, listed, model)


def said() -> None:
    """What became of the click before, once."""
    show_once(SAID, TROUBLE, ":material/hourglass_empty:")


def _confirmation(client: BrainClient, listed: ModelList, model: ModelVersion) -> None:
    if SAID in st.session_state:
        # Asked for: the whole page runs again, without the dialog.
        st.rerun()
    version = escaped(model.version)
    replaced = f", in place of version {escaped(listed.champion)}" if listed.champion else ""
    st.markdown(f"Within about a minute **version {version} answers every new upload**{replaced}.")
    st.markdown(
        "- Answers that were given before stay as they are.\n"
        "- No model is deleted: you can come back the same way.\n"
        "- Your key's name is kept with the request."
    )
    decision = told(model.decision)
    if decision is not None and not decision.is_promoted:
        text = "The comparison did not favour this version. Look at its rules before you go on."
        st.warning(text, icon=":material/scale:")
    said()
    with st.container(horizontal=True):
        st.button("Yes, do it", key="confirm", icon=":material/check:", on_click=_promote, args=(client, model.version))
        if st.button("Cancel", key="cancel"):
            st.rerun()


def _promote(client: BrainClient, version: str) -> None:
    try:
        client.promote(version)
    except ApiError as error:
        st.session_state[TROUBLE] = admin_sentence(error)
        return
    st.session_state[SAID] = f"Asked for: version {version} is to be the champion."
