"""What became of one image, in full: the answer with its map, a refusal with its reason, or a failure."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import streamlit as st

from brain_core.labels import CLASSES, TumourClass
from dashboard import session
from dashboard.downloads import as_csv, as_json
from dashboard.feedback_card import erasure_card, feedback_card, label_first_card
from dashboard.outcomes import Answer, Failure, Refusal, with_pictures
from dashboard.overlays import API_OPACITY, Outline, blended
from dashboard.report import report_pdf
from dashboard.resources import client
from dashboard.wording import CLASS_NAMES, MAP_EXPLAINED, MAP_OF_NO_TUMOUR, NOT_AN_MRI_HINT, uncertainty

_STEP_PERCENT = 10
_MIME = {"json": "application/json", "csv": "text/csv", "png": "image/png", "pdf": "application/pdf"}

# The colours of the heat map from weak to strong, as `brain_core.explain` draws them.
_RAMP = "linear-gradient(90deg, #57106e, #bc3754, #f98e09, #fcffa4)"


def result_card(content: str) -> None:
    """Show what became of an image."""
    held = session.uploads()
    outcome = held.outcomes.get(content)
    if isinstance(outcome, Answer | Refusal) and content not in held.fetched:
        # Once, also when that failed: a service that hangs must not hold up every click.
        held.fetched.add(content)
        outcome = with_pictures(client(), outcome)
        held.settle(content, outcome)
    match outcome:
        case Answer():
            _answer(content, outcome)
        case Refusal():
            _refusal(content, outcome)
        case Failure():
            _failure(content, outcome)


def _failure(content: str, failure: Failure) -> None:
    st.error(failure.sentence, icon=":material/error:")
    with st.container(horizontal=True):
        if failure.is_passing:
            st.button("Try again", icon=":material/refresh:", on_click=session.uploads().retry, args=(content,))
        st.button("Take it off the list", icon=":material/close:", on_click=session.uploads().forget, args=(content,))


def _refusal(content: str, refusal: Refusal) -> None:
    with st.container(border=True):
        image, words = st.columns([1, 2.2], gap="medium")
        with image:
            _picture(refusal.picture)
        with words:
            st.subheader("This image was not read", anchor=False)
            st.warning(refusal.reason, icon=":material/block:")
            st.markdown(
                f"The model was not asked, so there is no prediction.\n\n**What you can do.** {NOT_AN_MRI_HINT}"
            )
    erasure_card(content, refusal.prediction_id, refusal.access_token)


def _answer(content: str, answer: Answer) -> None:
    prediction = answer.prediction
    with st.container(border=True):
        if session.is_hidden(content, answer):
            image, question = st.columns([1, 1.6], gap="medium")
            with image:
                _picture(answer.picture)
            with question:
                label_first_card(content, answer)
        else:
            _pictures_and_verdict(content, answer)
            with st.container(border=True):
                feedback_card(content, answer)
    if not session.is_hidden(content, answer):
        _downloads(content, answer)
    erasure_card(content, prediction.id, prediction.access_token)


def _pictures_and_verdict(content: str, answer: Answer) -> None:
    image, heat_map, words = st.columns([1, 1, 1.15], gap="medium")
    with image:
        _picture(answer.picture)
    with heat_map:
        _heat_map(content, answer)
    with words:
        _verdict(answer)
    with st.expander("What the coloured map means", icon=":material/help:"):
        st.markdown(MAP_EXPLAINED)
        if answer.prediction.predicted_class == TumourClass.NOTUMOR:
            st.markdown(MAP_OF_NO_TUMOUR)


def _picture(picture: bytes | None) -> None:
    if picture is None:
        st.info("This image cannot be shown here.")
    else:
        st.image(picture, caption="Your image, as it is stored", width="stretch", alt="The uploaded image")


def _heat_map(content: str, answer: Answer) -> None:
    seen = _seen(answer, _opacity(content), _outlines(content, answer))
    if seen is None:
        st.warning("The map could not be fetched; the answer stands without it.", icon=":material/image_not_supported:")
        st.button(
            "Fetch the map", icon=":material/refresh:", on_click=session.uploads().fetched.discard, args=(content,)
        )
        return
    name = CLASS_NAMES[answer.prediction.predicted_class]
    x, y = answer.prediction.explanation.peak
    st.image(
        seen,
        caption=f"Where the model saw evidence for “{name}”",
        width="stretch",
        alt=f"The image under the heat map of evidence for {name}. "
        f"The evidence is strongest {x:.0%} from the left and {y:.0%} from the top.",
    )
    st.html(
        '<div style="display:flex;gap:.6rem;align-items:center;font-size:.8rem"><span>weak</span>'
        f'<span style="flex:1;height:.5rem;border-radius:.25rem;background:{_RAMP}"></span><span>strong</span></div>'
    )
    st.slider("Strength of the map, %", 0, 100, _percent(), _STEP_PERCENT, key=f"opacity-{content}")
    st.toggle("Outline of the strongest half", value=True, key=f"outline-{content}")


def _percent() -> int:
    return round(API_OPACITY * 100)


def _opacity(content: str) -> float:
    return float(st.session_state.get(f"opacity-{content}", _percent())) / 100


def _outlines(content: str, answer: Answer) -> Sequence[Outline]:
    return answer.prediction.explanation.contours if st.session_state.get(f"outline-{content}", True) else ()


def _verdict(answer: Answer) -> None:
    prediction = answer.prediction
    st.caption("The model says")
    st.subheader(CLASS_NAMES[prediction.predicted_class], anchor=False)
    if prediction.is_uncertain:
        st.warning(uncertainty(prediction.confidence), icon=":material/question_mark:")
    for name in sorted(CLASSES, key=lambda each: -prediction.probabilities[TumourClass(each)]):
        share = prediction.probabilities[TumourClass(name)]
        st.progress(min(1.0, share), text=f"{CLASS_NAMES[name]} · **{share:.1%}**")
    st.caption(
        "The probabilities are calibrated: an answer given with 80 % should be right 8 times in 10.  \n"
        f"Model version {prediction.model_version} · took {sum(prediction.timings_ms.values()):.0f} ms"
    )


def _downloads(content: str, answer: Answer) -> None:
    name = session.uploads().items[content].name
    opacity, outlines = _opacity(content), _outlines(content, answer)
    has_map = answer.picture is not None and answer.overlay is not None
    st.caption("Take it with you")
    with st.container(horizontal=True):
        _download("JSON", answer, "json", partial(as_json, name, answer))
        _download("CSV", answer, "csv", partial(as_csv, [(name, answer)]))
        if has_map:
            _download("Map (PNG)", answer, "png", partial(_seen, answer, opacity, outlines))
        _download("Report (PDF)", answer, "pdf", partial(_report, answer, opacity, outlines))


def _report(answer: Answer, opacity: float, outlines: Sequence[Outline]) -> bytes:
    return report_pdf(answer, _seen(answer, opacity, outlines))


def _seen(answer: Answer, opacity: float, outlines: Sequence[Outline]) -> bytes | None:
    if answer.picture is None or answer.overlay is None:
        return None
    return blended(answer.picture, answer.overlay, opacity, outlines)


def _download(label: str, answer: Answer, extension: str, make: Callable[[], Any]) -> None:
    # Made when it is asked for: a page is drawn at every click.
    file_name = f"brain-assets-{answer.prediction.id}.{extension}"
    st.download_button(label, make, file_name, _MIME[extension], icon=":material/download:", on_click="ignore")
