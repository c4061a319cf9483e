import pypdfium2
import pytest

from brain_core.imaging import encode_jpeg, encode_png
from brain_core.labels import NOTICE
from dashboard.outcomes import Answer
from dashboard.report import report_pdf
from tests.fixtures_bundle import drawn_slice
from tests.fixtures_dashboard import PREDICTION_ID, created

PICTURE, MAP = encode_jpeg(drawn_slice()), encode_png(drawn_slice())


def text_of(pdf: bytes) -> tuple[int, str]:
    document = pypdfium2.PdfDocument(pdf)
    return len(document), " ".join(document[0].get_textpage().get_text_bounded().split())


@pytest.mark.parametrize(("picture", "overlay"), [(PICTURE, MAP), (None, None)])
def test_report_is_one_page_with_answer_shares_model_and_notice_twice(picture, overlay):
    pages, text = text_of(report_pdf(Answer(created(), picture), overlay))

    assert pages == 1
    assert text.count(NOTICE) == 2
    assert "The model says: Pituitary tumour" in text
    assert "91.0%" in text
    assert "model version 7" in text
    assert str(PREDICTION_ID) in text
    assert ("not available" in text) is (picture is None)
    assert "secret-token" not in text


def test_report_of_an_uncertain_answer_says_so():
    _, text = text_of(report_pdf(Answer(created(is_uncertain=True, confidence=0.4)), None))

    assert "the model does not know" in text


def test_report_shows_both_pictures():
    document = pypdfium2.PdfDocument(report_pdf(Answer(created(), PICTURE), MAP))
    kinds = [item.type for item in document[0].get_objects()]

    assert kinds.count(pypdfium2.raw.FPDF_PAGEOBJ_IMAGE) == 2
