"""The dashboard's entry point: `streamlit run dashboard/app.py`."""

import streamlit as st

from brain_core.errors import ApiError
from brain_core.labels import NOTICE
from dashboard.resources import failures_told, status_client

STATUS_EVERY_S = 15
LOGO = """
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 176 32"><circle cx="16" cy="16" r="14" fill="none"
stroke="#2a98a1" stroke-width="2.5"/><path d="M16 5v22M16 10c-5-3-9 1-7 5-2 4 2 8 7 6M16 10c5-3 9 1 7 5 2 4-2 8-7 6"
fill="none" stroke="#2a98a1" stroke-width="2"/><text x="40" y="22" font-family="sans-serif" font-size="18"
font-weight="650" fill="#2a98a1">Brain Assets</text></svg>
"""


def main() -> None:
    """Draw the frame that every page stands in, and the page."""
    st.set_page_config(page_title="Brain Assets", page_icon=":material/neurology:", layout="wide")
    st.logo(LOGO, size="large")
    page = st.navigation(
        {
            "Read": [st.Page("views/predict.py", title="Predict", icon=":material/neurology:", default=True)],
            "Watch": [
                st.Page("views/monitoring.py", title="Monitoring", icon=":material/monitoring:"),
                st.Page("views/drift.py", title="Drift", icon=":material/trending_up:"),
                st.Page("views/logs.py", title="Logs", icon=":material/receipt_long:"),
            ],
        }
    )
    st.info(NOTICE, icon=":material/science:")
    page.run()
    with st.sidebar:
        _status()


@st.fragment(run_every=STATUS_EVERY_S)
def _status() -> None:
    st.caption("Prediction service")
    with failures_told():
        if not status_client().is_ready():
            st.badge("Not ready", icon=":material/hourglass_empty:", color="orange")
            st.caption("It is away, starting, or has no model yet. The page looks again by itself.")
            return
        st.badge("Ready", icon=":material/check_circle:", color="green")
        try:
            card = status_client().model()
        except ApiError:
            return
        st.caption(f"Model version {card.version}, trained on {card.trained_on} images.")


if __name__ == "__main__":
    main()
