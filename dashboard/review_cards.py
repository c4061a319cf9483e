"""Feedback as a reviewer sees it, one by one or as cards to select from, and the buttons that decide about it."""

from typing import Any
from uuid import UUID

import streamlit as st

from brain_core.client import BrainClient
from brain_core.contracts import ReviewItem
from brain_core.errors import ApiError
from dashboard import review_desk
from dashboard.admin import admin_sentence
from dashboard.plain_text import escaped
from dashboard.review_desk import ACCEPTED, CHANGED, GONE, REJECTED, Desk
from dashboard.review_pictures import Pictures
from dashboard.wording import CLASS_NAMES

PICTURES, SAID, TROUBLE = "review-pictures", "review-said", "review-trouble"
"""Names in the session's state: the pictures on the desk, and what is to be said at the next run."""

BADGES: dict[str, dict[str, Any]] = {
    "pending": {"label": "Waiting", "icon": ":material/hourglass_empty:", "color": "orange"},
    ACCEPTED: {"label": "Accepted", "icon": ":material/check_circle:", "color": "green"},
    REJECTED: {"label": "Rejected", "icon": ":material/block:", "color": "red"},
}
ERASED: dict[str, Any] = {"label": "Erased", "icon": ":material/delete:", "color": "gray"}
CHANGED_BADGE: dict[str, Any] = {"label": "Changed", "icon": ":material/sync_problem:", "color": "orange"}
DECISIONS = (("Accept", ACCEPTED, "A", ":material/check:"), ("Reject", REJECTED, "X", ":material/close:"))
"""Label, state, key and icon; Streamlit keeps R, the first letter, for itself."""

CARD_WIDTH_PX = 166
"""Two beside each other on a phone."""


def one(client: BrainClient, desk: Desk, item: ReviewItem, has_keys: bool) -> None:
    """One item with image, overlay, what is said about it, and the decision; `has_keys`: keyboard shortcuts are on."""
    pictures: Pictures = st.session_state[PICTURES]
    with st.container(border=True):
        pictured, words = st.columns([2, 1.15], gap="medium")
        with pictured:
            _both_pictures(client, desk, item)
        with words:
            _state(desk, item)
            _words(item, pictures.probability(client, desk, item, review_desk.says(item)))
            _decision(client, desk, item, has_keys)


def _both_pictures(client: BrainClient, desk: Desk, item: ReviewItem) -> None:
    pictures: Pictures = st.session_state[PICTURES]
    image, overlay = pictures.image(client, desk, item), pictures.overlay(client, desk, item)
    if item.prediction_id in desk.gone:
        st.info("The owner has erased this image meanwhile. There is nothing left to decide.", icon=":material/delete:")
        return
    left, right = st.columns(2, gap="small", wrap=False)
    with left:
        _picture(image, "The image", f"The slice, number {desk.place + 1} on this part of the list")
    with right:
        name = CLASS_NAMES[item.predicted_class]
        alt = f"The same slice with the heat map of the model's evidence for {name}"
        _picture(overlay, f"Evidence for “{name}”", alt)


def _picture(picture: bytes | None, caption: str, alt: str) -> None:
    if picture is None:
        st.caption(f"{caption}: it cannot be shown now.")
    else:
        st.image(picture, caption=caption, width="stretch", alt=alt)


def _state(desk: Desk, item: ReviewItem) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{desk.place + 1} of {len(desk.items)}**", width="content")
        if item.prediction_id in desk.gone:
            st.badge(**ERASED)
        else:
            st.badge(**BADGES[item.review_state])


def _words(item: ReviewItem, probability: float | None) -> None:
    st.caption("The reader says")
    st.header(CLASS_NAMES[review_desk.says(item)], anchor=False)
    doubt = ", and says itself that it is **uncertain**" if item.is_uncertain else ""
    if item.agrees:
        st.markdown(f"The model said the same, {item.confidence:.0%} sure{doubt}.")
    else:
        gave = "" if probability is None else f" It gave the reader's class {probability:.0%}."
        st.markdown(f"The model said **{CLASS_NAMES[item.predicted_class]}**, {item.confidence:.0%} sure{doubt}.{gave}")
    st.markdown(review_desk.similar_words(item.similar))
    st.caption(f"Model version {escaped(item.model_version)} · {item.created_at:%Y-%m-%d %H:%M} UTC")
    if item.reviewed_at is not None:
        comment = f": “{escaped(item.review_comment)}”" if item.review_comment else ""
        st.caption(f"Decided by {escaped(item.reviewer or 'somebody')}{comment}")
    if item.used_by_model_version:
        st.caption(f"Model version {escaped(item.used_by_model_version)} was trained on it.")


def _decision(client: BrainClient, desk: Desk, item: ReviewItem, has_keys: bool) -> None:
    is_gone = item.prediction_id in desk.gone
    if item.prediction_id in desk.changed:
        st.warning(
            "The reader has changed this answer meanwhile, so nothing was decided. This is the new answer.",
            icon=":material/sync_problem:",
        )
    comment = st.text_input(
        "Comment (optional)", key=_comment_key(item), max_chars=1000, disabled=is_gone, placeholder="Why?"
    )
    with st.container(horizontal=True):
        for label, state, key, icon in DECISIONS:
            st.button(
                label,
                icon=icon,
                shortcut=key if has_keys else None,
                disabled=is_gone,
                on_click=_decide_one,
                args=(client, desk, item, state, comment),
            )
    _steps(desk, has_keys)


def _comment_key(item: ReviewItem) -> str:
    return f"comment-{item.prediction_id}-{item.revision}"


def _steps(desk: Desk, has_keys: bool) -> None:
    with st.container(horizontal=True):
        for label, places, key, is_end in (
            ("Back", -1, "Left", desk.place == 0),
            ("Next", 1, "Right", desk.place == len(desk.items) - 1),
        ):
            shortcut = key if has_keys else None
            st.button(label, type="tertiary", shortcut=shortcut, disabled=is_end, on_click=desk.step, args=(places,))


def _decide_one(client: BrainClient, desk: Desk, item: ReviewItem, state: str, comment: str | None) -> None:
    try:
        outcome = review_desk.decide(client, desk, item, state, comment or None)
    except ApiError as error:
        st.session_state[TROUBLE] = admin_sentence(error)
        return
    if outcome == CHANGED:
        return
    st.session_state[SAID] = _outcome_told(outcome, item)
    if outcome != GONE:
        review_desk.count_again(client, desk)
    desk.go_on()


def _outcome_told(outcome: str, item: ReviewItem) -> str:
    if outcome == GONE:
        return "The owner has erased that image meanwhile: there was nothing left to decide."
    return f"{BADGES[outcome]['label']}: {review_desk.change_words(item)}"


def several(client: BrainClient, desk: Desk, has_keys: bool) -> None:
    """Cards to select, and one decision for all that are; `has_keys`: keyboard shortcuts are on."""
    picked = [item for item in desk.items if st.session_state.get(_pick_key(item)) and _can_pick(desk, item)]
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, state, key, icon in DECISIONS:
            st.button(
                f"{label} {len(picked)} selected",
                key=f"several-{state}",
                icon=icon,
                shortcut=key if has_keys else None,
                disabled=not picked,
                on_click=_decide_several,
                args=(client, desk, [item.prediction_id for item in picked], state),
            )
        st.button("Select all", type="tertiary", on_click=_pick, args=(desk, True))
        st.button("Select none", type="tertiary", on_click=_pick, args=(desk, False))
    with st.container(horizontal=True):
        for item in desk.items:
            _card(client, desk, item)


def _card(client: BrainClient, desk: Desk, item: ReviewItem) -> None:
    pictures: Pictures = st.session_state[PICTURES]
    with st.container(border=True, width=CARD_WIDTH_PX, gap="xsmall"):
        image = pictures.image(client, desk, item)
        if image is not None:
            st.image(image, width="stretch", alt=f"The slice about which is said: {review_desk.change_words(item)}")
        st.checkbox(review_desk.change_words(item), key=_pick_key(item), disabled=not _can_pick(desk, item), wrap=True)
        if item.prediction_id in desk.gone:
            st.badge(**ERASED)
            return
        st.badge(**BADGES[item.review_state])
        if item.prediction_id in desk.changed:
            st.badge(**CHANGED_BADGE)
        st.caption(f"{item.confidence:.0%} sure. {review_desk.similar_words(item.similar)}")


def _pick_key(item: ReviewItem) -> str:
    return f"pick-{item.prediction_id}"


def _can_pick(desk: Desk, item: ReviewItem) -> bool:
    return item.prediction_id not in desk.gone


def _pick(desk: Desk, is_picked: bool) -> None:
    for item in desk.items:
        st.session_state[_pick_key(item)] = is_picked and _can_pick(desk, item)


def _decide_several(client: BrainClient, desk: Desk, ids: list[UUID], state: str) -> None:
    outcomes: list[str] = []
    try:
        for item in [item for item in desk.items if item.prediction_id in ids]:
            outcomes.append(review_desk.decide(client, desk, item, state, None))
            st.session_state[_pick_key(item)] = False
    except ApiError as error:
        st.session_state[TROUBLE] = admin_sentence(error)
    if outcomes:
        st.session_state[SAID] = review_desk.outcome_words(outcomes)
        review_desk.count_again(client, desk)
