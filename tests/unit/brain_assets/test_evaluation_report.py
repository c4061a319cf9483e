import io
import json

from PIL import Image

from brain_assets.ml.evaluation_report import (
    CARD_FILE,
    FIGURES_FILE,
    FOLDER,
    evaluation_files,
    log_evaluation,
    page_pictures,
)
from brain_assets.ml.figures import Evaluation
from brain_assets.ml.model_card import split_sizes
from brain_assets.ml.plots import MAX_PNG_BYTES
from tests.fixtures_evaluation import drawn_images, judged_model, known_images, trained_record

SIZES = split_sizes(known_images(drawn_images()).splits)
CHARTS = {"confusion.png", "calibration.png", "roc.png"}
OF_CLASSES = {"maps-glioma.png", "maps-meningioma.png", "maps-notumor.png", "maps-pituitary.png"}


def test_figures_pictures_and_card_are_kept(bucket):
    judged = judged_model(bucket, wrong=(0,))
    files = evaluation_files(judged, trained_record(), SIZES)
    assert set(files) == CHARTS | OF_CLASSES | {"mistakes.png", CARD_FILE, FIGURES_FILE}
    assert Evaluation.model_validate(json.loads(files[FIGURES_FILE])) == judged.evaluation
    assert files[CARD_FILE].startswith(b"# ")
    for name, data in files.items():
        if name.endswith(".png"):
            assert Image.open(io.BytesIO(data)).format == "PNG"


def test_pictures_for_a_page_are_small(bucket):
    judged = judged_model(bucket, wrong=(0,))
    pictures = page_pictures(judged, evaluation_files(judged, trained_record(), SIZES))
    assert set(pictures) == {"confusion", "calibration", "roc", "maps", "mistakes"}
    assert all(len(png) <= MAX_PNG_BYTES for png in pictures.values())


def test_without_a_mistake_there_is_no_picture_of_any(bucket):
    assert "mistakes.png" not in evaluation_files(judged_model(bucket), trained_record(), SIZES)


def test_figures_become_metrics_and_files_artifacts_of_the_run(bucket):
    class Run:
        def log_metrics(self, metrics: dict[str, float]) -> None:
            self.metrics = metrics

        def log_files(self, files: dict[str, bytes], folder: str) -> None:
            self.kept = {folder: files}

    run, judged = Run(), judged_model(bucket)
    log_evaluation(run, judged, {"a": b""})
    assert run.metrics["test_accuracy"] == 1
    assert run.kept == {FOLDER: {"a": b""}}
