"""Predict: consent, upload, answer with its map, feedback, erasure; all through the API."""

from dataclasses import replace
from uuid import UUID

import streamlit as st

from brain_core.errors import ApiError
from brain_core.labels import CLASSES, CONSENT_TEXT, CONSENT_VERSION, TumourClass
from dashboard.outcomes import Answer, Failure, Outcome, Refusal, ask, content_hash, with_pictures
from dashboard.resources import client, failures_told, settings
from dashboard.wording import CLASS_NAMES, MAP_EXPLAINED, NOT_AN_MRI_HINT, sentence

# The colours of the heat map from weak to strong, as `brain_core.explain` draws them.
RAMP = "linear-gradient(90deg, #57106e, #bc3754, #f98e09, #fcffa4)"


def page() -> None:
    """The whole page."""
    st.title("Predict")
    st.markdown(
        "Upload one slice of a brain MRI. You see what the model takes it for, how sure it is and where it looked, "
        "and you say whether it was right."
    )
    with failures_told():
        is_agreed = _consent()
        _uploader(is_agreed)
        _said()
        if (asked := st.session_state.get("asked")) is not None:
            _result(asked, _outcome(asked))
    _erase_earlier()


def _consent() -> bool:
    with st.container(border=True):
        st.markdown(f"**1 · Your consent**  \n{CONSENT_TEXT}")
        return st.checkbox(
            f"I agree to this text (version {CONSENT_VERSION})",
            key=f"consent-{CONSENT_VERSION}",
            persist_state="session",
        )


def _uploader(is_agreed: bool) -> None:
    limit_mb = max(1, settings().upload.max_bytes // 2**20)
    with st.container(border=True):
        st.markdown("**2 · Your slice**" + ("" if is_agreed else "  \nAgree to the text above, then upload here."))
        st.file_uploader(
            "One slice as JPEG or PNG",
            type=["jpg", "jpeg", "png"],
            key=_uploader_key(),
            disabled=not is_agreed,
            max_upload_size=limit_mb,
            on_change=_take_upload,
        )


def _uploader_key() -> str:
    # A new key is a new, empty uploader: an erased image must not stay in it.
    return f"upload-{st.session_state.get('erased_count', 0)}"


def _take_upload() -> None:
    upload = st.session_state[_uploader_key()]
    st.session_state.data = upload.getvalue() if upload is not None else None
    st.session_state.asked = content_hash(st.session_state.data) if upload is not None else None


def _outcomes() -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = st.session_state.setdefault("outcomes", {})
    return outcomes


def _outcome(asked: str) -> Outcome:
    # Streamlit runs the page again at every click: an image is sent once, also when that failed.
    if asked not in _outcomes():
        with st.spinner("The model is looking at your slice …"):
            _outcomes()[asked] = ask(client(), st.session_state.data)
    return _outcomes()[asked]


def _said() -> None:
    if message := st.session_state.pop("said", None):
        st.success(message, icon=":material/check_circle:")
    if trouble := st.session_state.pop("trouble", None):
        st.error(trouble, icon=":material/error:")


def _result(asked: str, outcome: Outcome) -> None:
    match outcome:
        case Answer():
            _answer(asked, outcome)
        case Refusal():
            _refusal(asked, outcome)
        case Failure():
            st.error(outcome.sentence, icon=":material/error:")
            if outcome.is_passing:
                st.button("Try again", icon=":material/refresh:", on_click=_forget, args=(asked,))


def _forget(asked: str) -> None:
    _outcomes().pop(asked, None)


def _answer(asked: str, answer: Answer) -> None:
    with st.container(border=True):
        image, heat_map, words = st.columns([1, 1, 1.15], gap="medium")
        with image:
            _picture(answer.picture, "Your image, as it is stored")
        with heat_map:
            _heat_map(asked, answer)
        with words:
            _verdict(answer)
        with st.expander("What the coloured map means", icon=":material/help:"):
            st.markdown(MAP_EXPLAINED)
    with st.container(border=True):
        _feedback(asked, answer)
    _keep_or_erase(asked, answer.prediction.id, answer.prediction.access_token)


def _picture(picture: bytes | None, caption: str) -> None:
    if picture is None:
        st.info("This image cannot be shown here.")
    else:
        st.image(picture, caption=caption, width="stretch", alt="The uploaded image")


def _heat_map(asked: str, answer: Answer) -> None:
    name = CLASS_NAMES[answer.prediction.predicted_class]
    if answer.overlay is None:
        st.warning("The map could not be fetched; the answer stands without it.", icon=":material/image_not_supported:")
        st.button("Fetch the map", icon=":material/refresh:", on_click=_fetch_pictures, args=(asked, answer))
        return
    x, y = answer.prediction.explanation.peak
    place = f"The evidence is strongest {x:.0%} from the left and {y:.0%} from the top."
    st.image(
        answer.overlay,
        caption=f"Where the model saw evidence for “{name}”",
        width="stretch",
        alt=f"The slice with the heat map of evidence for {name} over it. {place}",
    )
    st.html(
        '<div style="display:flex;gap:.6rem;align-items:center;font-size:.8rem"><span>weak</span>'
        f'<span style="flex:1;height:.5rem;border-radius:.25rem;background:{RAMP}"></span><span>strong</span></div>'
    )


def _fetch_pictures(asked: str, answer: Answer) -> None:
    _outcomes()[asked] = with_pictures(client(), answer)


def _verdict(answer: Answer) -> None:
    prediction = answer.prediction
    st.caption("The model says")
    st.subheader(CLASS_NAMES[prediction.predicted_class], anchor=False)
    if prediction.is_uncertain:
        st.warning(
            f"**Uncertain.** A confidence of {prediction.confidence:.0%} is below the model's own threshold: "
            "take this as “the model does not know”.",
            icon=":material/question_mark:",
        )
    for name in sorted(CLASSES, key=lambda each: -prediction.probabilities[TumourClass(each)]):
        share = prediction.probabilities[TumourClass(name)]
        st.progress(min(1.0, share), text=f"{CLASS_NAMES[name]} · **{share:.1%}**")
    st.caption(
        "The probabilities are calibrated: an answer given with 80 % should be right 8 times in 10.  \n"
        f"Model version {prediction.model_version} · took {sum(prediction.timings_ms.values()):.0f} ms"
    )


def _refusal(asked: str, refusal: Refusal) -> None:
    with st.container(border=True):
        image, words = st.columns([1, 2.2], gap="medium")
        with image:
            _picture(refusal.picture, "Your image, as it is stored")
        with words:
            st.subheader("This image was not read", anchor=False)
            st.warning(refusal.reason, icon=":material/block:")
            st.markdown(
                f"The model was not asked, so there is no prediction.\n\n**What you can do.** {NOT_AN_MRI_HINT}"
            )
    _keep_or_erase(asked, refusal.prediction_id, refusal.access_token)


def _feedback(asked: str, answer: Answer) -> None:
    st.markdown("**3 · Was this right?**")
    if answer.feedback is not None:
        _thanks(asked, answer)
    elif st.session_state.get("correcting") == asked:
        _class_buttons(asked, answer)
    else:
        with st.container(horizontal=True):
            st.button("Yes, it is right", icon=":material/thumb_up:", on_click=_judge, args=(asked, answer, None))
            st.button("No, it is wrong", icon=":material/thumb_down:", on_click=_correct, args=(asked,))


def _thanks(asked: str, answer: Answer) -> None:
    feedback = answer.feedback
    if feedback is None or feedback.corrected_class is None:
        st.success("Thank you. Your “right” is stored and counts in the monitoring.", icon=":material/favorite:")
    else:
        st.success(
            f"Thank you. Your correction to **{CLASS_NAMES[feedback.corrected_class]}** is stored; the image is one of "
            "those that the model is trained on next.",
            icon=":material/favorite:",
        )
    st.button("Change my answer", icon=":material/undo:", on_click=_change, args=(asked, answer))


def _class_buttons(asked: str, answer: Answer) -> None:
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
                args=(asked, answer, TumourClass(name)),
            )
        st.button("Back", icon=":material/arrow_back:", type="tertiary", on_click=_correct, args=(None,))


def _correct(asked: str | None) -> None:
    st.session_state.correcting = asked


def _judge(asked: str, answer: Answer, corrected_class: TumourClass | None) -> None:
    try:
        feedback = client().feedback(answer.prediction.id, answer.prediction.access_token, corrected_class)
    except ApiError as error:
        st.session_state.trouble = sentence(error)
        return
    _outcomes()[asked] = replace(answer, feedback=feedback)
    _correct(None)


def _change(asked: str, answer: Answer) -> None:
    _outcomes()[asked] = replace(answer, feedback=None)


def _keep_or_erase(asked: str, prediction_id: UUID, access_token: str) -> None:
    with st.container(horizontal=True):
        with st.popover("Erase my image", icon=":material/delete:"):
            st.markdown("The image, the result and your feedback are erased for good. This cannot be undone.")
            st.button("Yes, erase it", type="primary", on_click=_erase, args=(asked, prediction_id, access_token))
        with st.popover("Key to erase it later", icon=":material/key:"):
            st.markdown("Keep these two. With them you can erase the image at any time, here or through the API.")
            st.caption("Prediction id")
            st.code(str(prediction_id), language=None, wrap_lines=True)
            st.caption("Access token")
            st.code(access_token, language=None, wrap_lines=True)


def _erase(asked: str | None, prediction_id: UUID, access_token: str) -> None:
    try:
        client().erase(prediction_id, access_token)
    except ApiError as error:
        st.session_state.trouble = sentence(error)
        return
    st.session_state.said = "Erased: the image, the result and your feedback are gone."
    if asked is not None:
        _forget(asked)
        st.session_state.asked = st.session_state.data = None
        st.session_state.erased_count = st.session_state.get("erased_count", 0) + 1


def _erase_earlier() -> None:
    with st.expander("Erase an image of an earlier visit", icon=":material/key:"), st.form("erase", border=False):
        prediction_id = st.text_input("Prediction id")
        access_token = st.text_input("Access token", type="password")
        if st.form_submit_button("Erase it", icon=":material/delete:"):
            _erase_by_token(prediction_id.strip(), access_token.strip())


def _erase_by_token(prediction_id: str, access_token: str) -> None:
    try:
        known = UUID(prediction_id)
    except ValueError:
        st.error("This is not a prediction id. It looks like 0199c1f2-7c3e-7b4a-9d11-2f6f3a1b5c7d.")
        return
    _erase(None, known, access_token)
    _said()


if __name__ == "__main__":
    page()
