import pytest
from pydantic import ValidationError

from brain_core.contracts import FeedbackRequest


def test_a_correction_names_a_class():
    assert FeedbackRequest(agrees=False, corrected_class="glioma").corrected_class == "glioma"


@pytest.mark.parametrize(
    "body",
    [
        {"agrees": False},
        {"agrees": True, "corrected_class": "glioma"},
        {"agrees": False, "corrected_class": "astrocytoma"},
        {"agrees": True, "other": 1},
        {},
    ],
)
def test_incomplete_or_contradictory_feedback_is_refused(body):
    with pytest.raises(ValidationError):
        FeedbackRequest.model_validate(body)
