"""Review: an admin accepts or rejects what readers say, one by one or several at once; all through the API."""

import streamlit as st

from brain_core.client import BrainClient
from brain_core.errors import ApiError, ServiceFailed, ServiceUnavailable
from brain_core.labels import CLASSES
from dashboard import review_desk
from dashboard.admin import admin_failures_told, admin_sentence, key_door
from dashboard.resources import settings
from dashboard.review_cards import PICTURES, SAID, TROUBLE, one, several
from dashboard.review_desk import ACCEPTED, REJECTED, Desk, Shown
from dashboard.review_pictures import Pictures
from dashboard.session import show_once
from dashboard.wording import CLASS_NAMES

DESK, STATE, VERSIONS = "review-desk", "review-state", "review-versions"
STATES = {"Waiting": "pending", "Accepted": ACCEPTED, "Rejected": REJECTED, "All": None}
ANY, AGREES = "Anything", "The model is right"
ANY_VERSION = "Any"
ONE, SEVERAL = "One by one", "Several at once"


def page() -> None:
    """The whole page."""
    st.title("Review")
    st.markdown(
        "Readers say where the model was wrong. You decide which of their corrections the next model learns from."
    )
    # The choice of the state leaves the session with the page: whoever comes back sees the queue as it is now.
    if STATE not in st.session_state:
        st.session_state.pop(DESK, None)
        st.session_state.pop(VERSIONS, None)
    show_once(SAID, TROUBLE, ":material/check:")
    client = key_door()
    if client is None:
        return
    with admin_failures_told():
        desk = _desk(client, _filters(client))
        _progress(desk)
        if desk.items:
            _queue(client, desk)
        else:
            _empty(desk)


def _filters(client: BrainClient) -> Shown:
    state, says, version = st.columns([1.6, 1, 0.7], gap="medium")
    usual = "Waiting" if settings().feedback.review == "required" else "All"
    with state:
        chosen = st.segmented_control("Show", list(STATES), default=usual, required=True, key=STATE)
    with says:
        answer = st.selectbox("The reader says", [ANY, AGREES, *CLASSES], format_func=_answer_name, key="review-says")
    with version:
        versions = [ANY_VERSION, *_versions(client)]
        model = st.selectbox("Model version", versions, accept_new_options=True, key="review-version")
    return Shown(
        review_state=STATES[chosen or usual],
        agrees=True if answer == AGREES else None,
        corrected_class=answer if answer in CLASSES else None,
        model_version=None if model == ANY_VERSION else model,
    )


def _answer_name(answer: str) -> str:
    return f"It is: {CLASS_NAMES[answer]}" if answer in CLASS_NAMES else answer


def _versions(client: BrainClient) -> list[str]:
    if VERSIONS not in st.session_state:
        try:
            st.session_state[VERSIONS] = [model.version for model in client.models().models]
        except (ServiceUnavailable, ServiceFailed):
            # The bucket is away: a version can still be typed.
            return []
    versions: list[str] = st.session_state[VERSIONS]
    return versions


def _desk(client: BrainClient, shown: Shown) -> Desk:
    desk: Desk | None = st.session_state.get(DESK)
    if desk is None or desk.shown != shown:
        desk = _fetch(client, shown)
    return desk


def _fetch(client: BrainClient, shown: Shown, pages: tuple[str | None, ...] = (None,)) -> Desk:
    desk = review_desk.fetch_desk(client, shown, pages)
    st.session_state[DESK], st.session_state[PICTURES] = desk, Pictures()
    return desk


def _turn(client: BrainClient, desk: Desk, pages: tuple[str | None, ...]) -> None:
    try:
        _fetch(client, desk.shown, pages)
    except ApiError as error:
        st.session_state[TROUBLE] = admin_sentence(error)


def _progress(desk: Desk) -> None:
    words = review_desk.waiting_words(desk.waiting_images, desk.retraining_above)
    st.progress(min(1.0, desk.waiting_images / (desk.retraining_above + 1)), text=words)


def _empty(desk: Desk) -> None:
    with st.container(border=True, horizontal_alignment="center"):
        if desk.shown == Shown(review_state="pending"):
            st.markdown("**:material/task_alt: All done: nothing waits for a decision.**")
            if settings().feedback.review == "auto":
                st.caption("Corrections count at once here. You can still reject some: look at “Accepted”.")
        elif desk.shown == Shown():
            st.markdown("**:material/inbox: No reader has said anything yet.**")
            st.caption("What readers answer to “Was this right?” on the Predict page comes here.")
        else:
            st.markdown("**:material/filter_alt: Nothing fits what you chose above.**")
        st.button("Look again", icon=":material/refresh:", on_click=st.session_state.pop, args=(DESK, None))


def _queue(client: BrainClient, desk: Desk) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        mode = st.segmented_control("How", [ONE, SEVERAL], default=ONE, required=True, key="review-how")
        has_keys = st.toggle("Keyboard shortcuts", value=True, key="review-shortcuts", persist_state="session")
    st.caption(_keys_told(mode) if has_keys else "Keyboard shortcuts are off.")
    if not desk.open_items:
        _finished(client, desk)
    if mode == SEVERAL:
        several(client, desk, has_keys)
    elif desk.item is not None:
        one(client, desk, desk.item, has_keys)
    _parts(client, desk)


def _keys_told(mode: str | None) -> str:
    told = "Keys: **A** accepts, **X** rejects"
    return f"{told} what you selected." if mode == SEVERAL else f"{told}, **←** goes back, **→** goes on."


def _finished(client: BrainClient, desk: Desk) -> None:
    st.success(f"You have decided all {len(desk.items)} on this part of the list.", icon=":material/task_alt:")
    if desk.next_page is None:
        label, pages = "Look for new ones", desk.pages[:1]
    else:
        label, pages = "Go on with older ones", (*desk.pages, desk.next_page)
    st.button(label, icon=":material/arrow_forward:", on_click=_turn, args=(client, desk, pages))


def _parts(client: BrainClient, desk: Desk) -> None:
    first = (len(desk.pages) - 1) * review_desk.ITEMS_ON_DESK + 1
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Newer",
            icon=":material/keyboard_double_arrow_left:",
            disabled=len(desk.pages) < 2,
            on_click=_turn,
            args=(client, desk, desk.pages[:-1]),
        )
        st.button(
            "Older",
            icon=":material/keyboard_double_arrow_right:",
            disabled=desk.next_page is None,
            on_click=_turn,
            args=(client, desk, (*desk.pages, desk.next_page)),
        )
        st.button("Look again", icon=":material/refresh:", on_click=_turn, args=(client, desk, desk.pages))
        st.caption(f"{first} to {first + len(desk.items) - 1} of {desk.total}, newest first")


if __name__ == "__main__":
    page()
