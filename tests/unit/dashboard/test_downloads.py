import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from brain_core.contracts import Feedback
from brain_core.labels import NOTICE
from dashboard.downloads import COLUMNS, as_csv, as_json
from dashboard.outcomes import Answer, Failure, Refusal
from tests.fixtures_dashboard import PREDICTION_ID, created

CORRECTED = Feedback(
    prediction_id=PREDICTION_ID, revision=1, agrees=False, corrected_class="glioma", review_state="accepted"
)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def test_json_is_the_answer_with_the_notice_but_without_what_erases_it():
    text = as_json("a.jpg", Answer(created(), feedback=CORRECTED))
    content = json.loads(text)

    assert (content["file"], content["predicted_class"], content["your_label"]) == ("a.jpg", "pituitary", "glioma")
    assert content["probabilities"]["pituitary"] == 0.91
    assert content["notice"] == NOTICE
    assert "secret-token" not in text


def test_csv_has_a_line_an_image_whatever_became_of_it():
    text = as_csv(
        [
            ("a.jpg", Answer(created(), feedback=CORRECTED)),
            ("b.jpg", Refusal("In colour.", PREDICTION_ID, "secret-token")),
            ("c.jpg", Failure("Damaged.", is_passing=False)),
        ]
    )
    answered, refused, failed = rows(text)

    assert tuple(answered) == COLUMNS
    assert (answered["predicted_class"], answered["your_label"]) == ("pituitary", "glioma")
    assert answered["probability_pituitary"] == "0.91"
    assert (refused["outcome"], refused["reason"]) == ("not a brain MRI", "In colour.")
    assert (failed["outcome"], failed["reason"], failed["id"]) == ("not readable", "Damaged.", "")
    assert {row["notice"] for row in (answered, refused, failed)} == {NOTICE}
    assert "secret-token" not in text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_file_name_stays_what_it_is_and_is_never_a_formula(name):
    (row,) = rows(as_csv([(name, Failure("Damaged.", is_passing=False))]))

    assert row["file"] in (name, f"'{name}")
    assert not row["file"].startswith(("=", "+", "-", "@"))
