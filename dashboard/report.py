"""One result as a page to print: PDF, A4, with the notice at its head and foot."""

import io
from dataclasses import dataclass

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph

from brain_core.labels import CLASSES, NOTICE, TumourClass
from dashboard.outcomes import Answer
from dashboard.wording import CLASS_NAMES, MAP_EXPLAINED, uncertainty

_WIDTH, _HEIGHT = A4
_MARGIN = 18 * mm
_PICTURE = 82 * mm
_TEAL, _GREY, _INK = colors.HexColor("#0b6e75"), colors.HexColor("#dfe7e8"), colors.HexColor("#16262b")
_BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=9.5, leading=13.5, textColor=_INK)
_STRONG = ParagraphStyle("strong", _BODY, fontName="Helvetica-Bold", fontSize=10, leading=14)
_VERDICT = ParagraphStyle("verdict", _STRONG, fontSize=13)


@dataclass
class _Page:
    canvas: Canvas
    y: float

    def text(self, words: str, style: ParagraphStyle = _BODY, gap: float = 3 * mm) -> None:
        paragraph = Paragraph(words, style)
        _, height = paragraph.wrap(_WIDTH - 2 * _MARGIN, _HEIGHT)
        self.y -= height
        paragraph.drawOn(self.canvas, _MARGIN, self.y)
        self.y -= gap


def report_pdf(answer: Answer, overlay: bytes | None) -> bytes:
    """PDF of one A4 page: image, map, probabilities, how to read them, and the notice. No file name stands on it.

    Args:
        answer: what the model said, with the picture if there is one.
        overlay: PNG of the map over the image, as the reader sees it.
    """
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=A4, pageCompression=1)
    canvas.setTitle("Brain Assets: result of one slice")
    canvas.setSubject(NOTICE)
    page = _Page(canvas, _HEIGHT - _MARGIN)
    _head(page)
    _pictures(page, answer.picture, overlay)
    _verdict(page, answer)
    _facts(page, answer)
    _foot(canvas)
    canvas.showPage()
    canvas.save()
    return target.getvalue()


def _head(page: _Page) -> None:
    page.text("Brain Assets: result of one slice", ParagraphStyle("title", _STRONG, fontSize=16, leading=20))
    page.text(NOTICE, ParagraphStyle("notice", _STRONG, textColor=colors.HexColor("#9c2b00")), gap=5 * mm)


def _pictures(page: _Page, picture: bytes | None, overlay: bytes | None) -> None:
    page.y -= _PICTURE
    places = ((picture, _MARGIN, "The image"), (overlay, _WIDTH - _MARGIN - _PICTURE, "Where the model saw evidence"))
    for data, x, caption in places:
        page.canvas.setFont("Helvetica", 8.5)
        page.canvas.drawString(x, page.y - 4 * mm, caption if data else f"{caption}: not available")
        if data:
            image = ImageReader(io.BytesIO(data))
            page.canvas.drawImage(image, x, page.y, _PICTURE, _PICTURE, preserveAspectRatio=True, anchor="c")
    page.y -= 10 * mm


def _verdict(page: _Page, answer: Answer) -> None:
    prediction = answer.prediction
    page.text(f"The model says: {CLASS_NAMES[prediction.predicted_class]}", _VERDICT)
    if prediction.is_uncertain:
        page.text(uncertainty(prediction.confidence), _STRONG)
    for name in sorted(CLASSES, key=lambda each: -prediction.probabilities[TumourClass(each)]):
        _bar(page, CLASS_NAMES[name], prediction.probabilities[TumourClass(name)])
    page.y -= 2 * mm
    page.text("The probabilities are calibrated: an answer given with 80 % should be right 8 times in 10.")
    page.text(MAP_EXPLAINED.replace("**", ""))


def _bar(page: _Page, name: str, share: float) -> None:
    page.y -= 6.5 * mm
    x, width, height = _MARGIN + 40 * mm, 95 * mm, 3.5 * mm
    page.canvas.setFillColor(_INK)
    page.canvas.setFont("Helvetica", 9.5)
    page.canvas.drawString(_MARGIN, page.y, name)
    page.canvas.drawRightString(_WIDTH - _MARGIN, page.y, f"{share:.1%}")
    for colour, length in ((_GREY, width), (_TEAL, width * min(1.0, share))):
        page.canvas.setFillColor(colour)
        page.canvas.rect(x, page.y - 0.5 * mm, length, height, stroke=0, fill=1)
    page.canvas.setFillColor(_INK)


def _facts(page: _Page, answer: Answer) -> None:
    prediction = answer.prediction
    label = answer.label
    page.text(f"The reader says: <b>{CLASS_NAMES[label]}</b>." if label else "The reader has not said what it shows.")
    page.text(
        f"Prediction {prediction.id}, {prediction.created_at:%Y-%m-%d %H:%M} UTC, model version "
        f"{prediction.model_version}."
    )


def _foot(canvas: Canvas) -> None:
    canvas.setStrokeColor(_GREY)
    canvas.line(_MARGIN, 16 * mm, _WIDTH - _MARGIN, 16 * mm)
    canvas.setFont("Helvetica-Bold", 8.5)
    canvas.drawString(_MARGIN, 11 * mm, NOTICE)
