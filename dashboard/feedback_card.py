"""Was this right? The reader's label, before or after the answer is seen, and the erasure of an image."""

from dataclasses import replace
from uuid import UUID

import streamlit as st

from brain_core.contracts import Feedback
from brain_core.errors import ApiError
from brain_core.labels import CLASSES, TumourClass
from dashboard import session
from dashboard.outcomes import Answer
from dashboard.resources import client
from dashboard.wording import CLASS_NAMES, sentence


def label_first_card(content: str, answer: Answer) -> None:
    """The question for the reader's own label, while the answer is kept back."""
    st.markdown("**What do you think it shows?**  \nThe model's answer comes once you have said so.")
    with st.container(horizontal=True):
        for name in CLASSES:
            st.button(
                CLASS_NAMES[name],
                key=f"first-{name}",
                on_click=_label_first,
                args=(content, answer, TumourClass(name)),
            )
        st.button(
            "Show me the answer",
            icon=":material/visibility:",
            type="tertiary",
            on_click=session.reveal,
            args=(content,),
        )


def feedback_card(content: str, answer: Answer) -> None:
    """The question whether the answer was right, or the thanks for having said so."""
    st.markdown("**Was this right?**")
    if answer.feedback is not None:
        _thanks(content, answer, answer.feedback)
    elif st.session_state.get("correcting") == content:
        _class_buttons(content, answer)
    else:
        with st.container(horizontal=True):
            st.button("Yes, it is right", icon=":material/thumb_up:", on_click=_judge, args=(content, answer, None))
            st.button("No, it is wrong", icon=":material/thumb_down:", on_click=_correct, args=(content,))


def erasure_card(content: str, prediction_id: UUID, access_token: str) -> None:
    """Erase the image now, or keep what erases it later."""
    with st.container(horizontal=True):
        with st.popover("Erase my image", icon=":material/delete:"):
            st.markdown("The image, the result and your feedback are erased for good. This cannot be undone.")
            st.button("Yes, erase it", type="primary", on_click=erase, args=(content, prediction_id, access_token))
        with st.popover("Key to erase it later", icon=":material/key:"):
            st.markdown("Keep these two. With them you can erase the image at any time, here or through the API.")
            st.caption("Prediction id")
            st.code(str(prediction_id), language=None, wrap_lines=True)
            st.caption("Access token")
            st.code(access_token, language=None, wrap_lines=True)


def erase(content: str | None, prediction_id: UUID, access_token: str) -> None:
    """Erase an image, of this session (`content`) or of an earlier one (None), and say what came of it."""
    try:
        erasure = client().erase(prediction_id, access_token)
    except ApiError as error:
        session.tell_trouble(sentence(error))
        return
    late = "" if erasure.is_complete else " The image store is away: the image itself goes as soon as it is back."
    session.tell(f"Erased: the image, the result and your feedback are gone.{late}")
    if content is not None:
        session.uploads().forget(content)


def _thanks(content: str, answer: Answer, feedback: Feedback) -> None:
    lead = ""
    if answer.is_label_first and answer.label is not None:
        lead = f"You said **{CLASS_NAMES[answer.label]}** before you saw the answer. "
    st.success(f"Thank you. {lead}{_what_happens(feedback)}", icon=":material/favorite:")
    st.button("Change my answer", icon=":material/undo:", on_click=_change, args=(content, answer))


def _what_happens(feedback: Feedback) -> str:
    if feedback.corrected_class is None:
        return "Your “right” is stored and counts in the monitoring."
    stored = f"Your correction to **{CLASS_NAMES[feedback.corrected_class]}** is stored; "
    if feedback.review_state == "pending":
        return stored + "once a person has checked it, the image is one of those that the model is trained on next."
    return stored + "the image is one of those that the model is trained on next."


def _class_buttons(content: str, answer: Answer) -> None:
    st.markdown("What does the slice show?")
    with st.container(horizontal=True):
        for name in CLASSES:
            is_predicted = name == answer.prediction.predicted_class
            st.button(
                CLASS_NAMES[name],
                key=f"class-{name}",
                disabled=is_predicted,
                help="This is what the model said." if is_predicted else None,
                on_click=_judge,
                args=(content, answer, TumourClass(name)),
            )
        st.button("Back", icon=":material/arrow_back:", type="tertiary", on_click=_correct, args=(None,))


def _correct(content: str | None) -> None:
    st.session_state.correcting = content


def _label_first(content: str, answer: Answer, label: TumourClass) -> None:
    corrected_class = None if label == answer.prediction.predicted_class else label
    _judge(content, replace(answer, is_label_first=True), corrected_class)


def _judge(content: str, answer: Answer, corrected_class: TumourClass | None) -> None:
    held = session.uploads().outcomes.get(content)
    if isinstance(held, Answer) and held.feedback is not None:
        # The second of two clicks, made before the page had drawn the thanks for the first.
        return
    try:
        feedback = client().feedback(answer.prediction.id, answer.prediction.access_token, corrected_class)
    except ApiError as error:
        session.tell_trouble(sentence(error))
        return
    session.uploads().settle(content, replace(answer, feedback=feedback))
    _correct(None)


def _change(content: str, answer: Answer) -> None:
    session.reveal(content)
    session.uploads().settle(content, replace(answer, feedback=None, is_label_first=False))
