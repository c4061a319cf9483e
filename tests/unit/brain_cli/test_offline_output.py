import io
import json

import pytest
from rich.console import Console

from brain_cli.offline_output import Output, PredictionLog, evaluation_tables, line_of, state_of
from brain_core.labels import NOTICE

GOOD = {
    "path": "a.jpg",
    "is_valid": True,
    "rejection_reason": None,
    "predicted_class": "glioma",
    "confidence": 0.973,
    "is_uncertain": False,
}
DOUBTFUL = GOOD | {"path": "b.jpg", "confidence": 0.41, "is_uncertain": True}
REFUSED = GOOD | {"path": "c.jpg", "is_valid": False, "rejection_reason": "It is in colour."}
BROKEN = {"path": "d.jpg", "error": "It is damaged."}
INTERVAL = {"value": 0.5, "low": 0.25, "high": 0.75}


def test_each_record_has_a_state():
    assert [state_of(record) for record in (GOOD, DOUBTFUL, REFUSED, BROKEN)] == [
        "accepted",
        "uncertain",
        "refused",
        "not read",
    ]


def test_lines_show_the_class_only_of_what_is_a_brain_mri():
    assert line_of(GOOD).split() == ["glioma", "97.3%", "a.jpg"]
    assert line_of(DOUBTFUL).split() == ["glioma", "41.0%", "uncertain", "b.jpg"]
    assert line_of(REFUSED).split(maxsplit=3) == ["-", "-", "refused", "c.jpg: It is in colour."]
    assert line_of(BROKEN).split(maxsplit=4) == ["-", "-", "not", "read", "d.jpg: It is damaged."]


def test_a_name_cannot_write_escapes_to_the_terminal():
    assert "\x1b" not in line_of(GOOD | {"path": "\x1b[2J.jpg"})


def test_the_summary_counts_what_was_written(capsys):
    log = PredictionLog(Output(), as_json=False)
    for record in (GOOD, DOUBTFUL, REFUSED, BROKEN):
        log.add(record)
    log.finish()
    printed = capsys.readouterr()
    last = printed.out.splitlines()[-1]
    assert last.startswith("4 images: glioma 2, meningioma 0, notumor 0, pituitary 0; uncertain 1; refused 1; not read")
    assert last.endswith(NOTICE)
    assert printed.err == "d.jpg: It is damaged.\n"
    assert log.unreadable == 1


def test_json_lines_are_alone_on_standard_output(capsys):
    log = PredictionLog(Output(), as_json=True)
    log.add(GOOD)
    log.add(BROKEN)
    log.finish()
    printed = capsys.readouterr()
    assert [json.loads(line) for line in printed.out.splitlines()] == [GOOD, BROKEN]
    assert "2 images" in printed.err


def test_there_is_no_progress_bar_where_nobody_looks(capsys):
    output = Output()
    with output.progress([1, 2], 2) as shown:
        assert list(shown) == [1, 2]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("subset", [None, {}])
def test_the_tables_leave_out_what_is_not_known(subset):
    figures = {
        "folder": "images",
        "images": 4,
        **dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "ece", "accepted_by_gate"), INTERVAL),
        "by_class": {"glioma": {"images": 4, "recall": INTERVAL, "precision": None}},
        "confusion": [[4, 0, 0, 0], [0] * 4, [0] * 4, [0] * 4],
    }
    part = None if subset is None else figures
    names = ("without_training_images", "without_training_and_validation_images", "without_likely_copies")
    overall, by_class, confusion = evaluation_tables(figures | dict.fromkeys(names, part))
    assert len(overall.columns) == (2 if part is None else 5)
    assert list(by_class.columns[2].cells) == ["0.500 (0.250 to 0.750)"]
    assert list(by_class.columns[3].cells) == ["-"]
    assert list(confusion.columns[1].cells) == ["4", "0", "0", "0"]


def test_a_bar_counts_the_images_where_a_terminal_looks(monkeypatch):
    screen = io.StringIO()
    output = Output()
    monkeypatch.setattr(output, "errors", Console(file=screen, force_terminal=True, width=80))
    with output.progress(range(3), 3) as shown:
        assert list(shown) == [0, 1, 2]
    assert "3/3" in screen.getvalue()
