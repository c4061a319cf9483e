"""The dashboard's entry point: `streamlit run dashboard/app.py`."""

from pathlib import Path

import streamlit as st

from brain_core.contracts import ModelCard
from brain_core.labels import NOTICE
from dashboard import login
from dashboard.resources import failures_told, status_client

STATUS_EVERY_S = 15
MODEL_EVERY_S = 60
HERE = Path(__file__).parent


def main() -> None:
    """Draw the frame that every page stands in, and the page."""
    st.set_page_config(page_title="Brain Assets", page_icon=HERE / "icon.svg", layout="wide")
    st.logo(HERE / "logo.svg", size="large", icon_image=HERE / "icon.svg")
    # One list without headings: those would stand in its HTML where screen readers expect only items.
    page = st.navigation(
        [
            st.Page("views/predict.py", title="Predict", icon=":material/neurology:", default=True),
            st.Page("views/review.py", title="Review", icon=":material/rate_review:"),
            st.Page("views/models.py", title="Models", icon=":material/model_training:"),
            st.Page("views/monitoring.py", title="Monitoring", icon=":material/monitoring:"),
            st.Page("views/drift.py", title="Drift", icon=":material/trending_up:"),
            st.Page("views/data.py", title="Data", icon=":material/database:"),
            st.Page("views/logs.py", title="Logs", icon=":material/receipt_long:"),
        ]
    )
    st.info(NOTICE, icon=":material/science:")
    is_let_in = False
    with failures_told():
        is_let_in = login.is_let_in()
    if not is_let_in:
        return
    page.run()
    with st.sidebar:
        _status()


@st.cache_data(ttl=MODEL_EVERY_S, show_spinner=False)
def _model() -> ModelCard:
    return status_client().model()


@st.fragment(run_every=STATUS_EVERY_S)
def _status() -> None:
    st.caption("Prediction service")
    with failures_told():
        if not status_client().is_ready():
            st.badge("Not ready", icon=":material/hourglass_empty:", color="orange")
            st.caption("It is away, starting, or has no model yet. The page looks again by itself.")
            return
        st.badge("Ready", icon=":material/check_circle:", color="green")
        card = _model()
        st.caption(f"Model version {card.version}, trained on {card.trained_on} images.")


if __name__ == "__main__":
    main()
