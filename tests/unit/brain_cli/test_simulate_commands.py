"""`brain simulate feedback` against the prediction API as it is."""

import numpy as np
import pytest
from typer.testing import CliRunner

from brain_cli import simulate_commands
from brain_core.errors import ApiError, BrainError, SourceClassUnknown
from brain_core.imaging import encode_jpeg


def invoke(*arguments: str):
    return CliRunner().invoke(simulate_commands.simulate_commands, ["feedback", *arguments], catch_exceptions=False)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images" / "glioma").mkdir(parents=True)
    (tmp_path / "images" / "glioma" / "1.jpg").write_bytes(encode_jpeg(np.zeros((9, 9), np.uint8)))
    return tmp_path / "images"


def test_a_service_that_is_away_is_a_sentence(folder):
    with pytest.raises(ApiError, match="cannot be reached"):
        invoke("--images", str(folder), "--count", "1", "--url", "http://127.0.0.1:9")


def test_a_folder_that_is_no_class_is_a_sentence(folder):
    (folder / "gliomas").mkdir()
    with pytest.raises(SourceClassUnknown):
        invoke("--images", str(folder), "--url", "http://127.0.0.1:9")


def test_too_few_images_are_a_sentence_that_says_what_to_do(folder, monkeypatch):
    monkeypatch.setattr(simulate_commands, "give_feedback", lambda *_: None)
    with pytest.raises(BrainError, match=r"Only 0 of 60 corrections could be given.*or --wrong-share"):
        invoke("--images", str(folder), "--url", "http://127.0.0.1:9")


@pytest.mark.parametrize("wrong", ["--count=0", "--wrong-share=1.1"])
def test_what_makes_no_sense_is_refused(wrong):
    assert invoke(wrong).exit_code == 2


def test_without_a_folder_slices_are_drawn_that_no_model_knows(monkeypatch):
    drawn = simulate_commands._drawn(count=2, seed=0)
    assert len(drawn) == 2 * simulate_commands.DRAWN_PER_CORRECTION
    assert {image.label for image in drawn} == {"glioma", "meningioma", "notumor", "pituitary"}
    assert drawn[0].read()[:2] == b"\xff\xd8"
