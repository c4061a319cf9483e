"""Predict: consent, upload, answers with their maps, feedback, erasure; all through the API."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import streamlit as st

from brain_core.contracts import Consent
from brain_core.errors import ApiError, ConsentRefused
from brain_core.labels import CONSENT_TEXT, CONSENT_VERSION
from dashboard import session
from dashboard.batch import work_off
from dashboard.examples import EXAMPLES, example
from dashboard.feedback_card import erase
from dashboard.outcomes import content_hash
from dashboard.overview import result_table, results
from dashboard.resources import client, failures_told, settings, status_client
from dashboard.uploads import MAX_IMAGES, Upload
from dashboard.wording import as_paragraphs, counted, sentence

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

CONSENT_EVERY_S = 60


def page() -> None:
    """The whole page."""
    st.title("Predict")
    st.markdown(
        "Upload slices of brain MRI. You see what the model takes each for, how sure it is and where it looked, "
        "and you say whether it was right."
    )
    with failures_told():
        consent = _consent_text()
        is_agreed = _consent(consent)
        _uploader(is_agreed)
        _send(consent, is_agreed)
        session.show_messages()
        results()
    _erase_earlier()


@st.cache_data(ttl=CONSENT_EVERY_S, show_spinner=False)
def _consent_text() -> Consent:
    try:
        return status_client().consent()
    except ApiError:
        # The page can be read while the service is away; it is agreed to anew if another text is current by then.
        return Consent(version=CONSENT_VERSION, text=CONSENT_TEXT, valid_until=None, is_current=True)


def _consent(consent: Consent) -> bool:
    key = f"consent-{consent.version}"
    with st.container(border=True):
        st.markdown("**1 · Your consent**")
        if st.session_state.get(key):
            with st.expander("The text that you agreed to", icon=":material/contract:"):
                st.markdown(as_paragraphs(consent.text))
        else:
            st.markdown(as_paragraphs(consent.text))
        return st.checkbox(f"I agree to this text (version {consent.version})", key=key, persist_state="session")


def _uploader(is_agreed: bool) -> None:
    with st.container(border=True):
        st.markdown("**2 · Your slices**")
        if not is_agreed:
            # Not greyed out: that would be hard to read, and there is nothing to do here yet.
            st.markdown(f"Agree to the text above; then you upload JPEG or PNG files here, up to {MAX_IMAGES} at once.")
            return
        files = st.file_uploader(
            f"JPEG or PNG, up to {MAX_IMAGES} at once",
            type=["jpg", "jpeg", "png"],
            accept_multiple_files=True,
            key=_uploader_key(),
            max_upload_size=max(1, settings().upload.max_bytes // 2**20),
        )
        if files:
            _take_uploads(files)
        st.markdown("No image at hand? Try one of these:")
        with st.container(horizontal=True):
            for file_name, label in EXAMPLES.items():
                st.button(label, on_click=_take_example, args=(file_name,))
        st.toggle(
            "I'd rather label before I see the answer",
            key="label-first",
            persist_state="session",
            help="You say what the slice shows, then the model's answer is shown, so that it cannot sway you.",
        )


def _uploader_key() -> str:
    # A new key is a new, empty uploader: what was taken is on the list below, and its bytes are let go.
    return f"upload-{st.session_state.get('taken_count', 0)}"


def _take_uploads(files: Sequence["UploadedFile"]) -> None:
    # Not as the uploader's callback: after a run of the sidebar alone, Streamlit may not know the uploader's key there;
    # and where another run is asked for meanwhile, it ends a callback at its first look at the session and never calls
    # it again. What ends here is done by the next run.
    _add([Upload(file.name, file.getvalue()) for file in files])
    st.session_state.taken_count = st.session_state.get("taken_count", 0) + 1
    st.rerun()


def _take_example(file_name: str) -> None:
    _add([example(file_name)])


def _add(files: list[Upload]) -> None:
    held = session.uploads()
    known = set(held.items)
    if left_out := held.add(files):
        session.tell_trouble(
            f"{left_out} images did not fit: the list holds {MAX_IMAGES}. Clear it, then upload the others."
        )
    if added := [content for content in held.items if content not in known]:
        st.session_state.chosen = added[0]
    elif files:
        # Known already: show what became of it.
        st.session_state.chosen = content_hash(files[0].data)


def _send(consent: Consent, is_agreed: bool) -> None:
    held = session.uploads()
    if not held.waiting():
        return
    if not is_agreed:
        words = f"{counted(len(held.waiting()))} until you agree to the text above."
        st.info(words, icon=":material/hourglass_empty:")
        return
    place, table = st.empty(), st.empty()

    def progress(done: int, count: int, name: str) -> None:
        place.progress(done / count, text=f"The model is looking at “{name}”, image {done + 1} of {count} …")
        if count > 1:
            table.dataframe(result_table(), hide_index=True)

    try:
        work_off(client(), held, consent.version, progress)
    except ConsentRefused as error:
        _consent_text.clear()
        session.tell_trouble(sentence(error))
        st.rerun()
    except ApiError as error:
        _stopped(error)
    finally:
        place.empty()
        table.empty()


def _stopped(error: ApiError) -> None:
    st.error(sentence(error), icon=":material/error:")
    # A click runs the page again, and that sends what waits.
    st.button(f"Try again: {counted(len(session.uploads().waiting()))}", icon=":material/refresh:")


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
    erase(None, known, access_token)
    session.show_messages()


if __name__ == "__main__":
    page()
