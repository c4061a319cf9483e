import dagster as dg

from brain_assets.defs.run_mail import AssetReport, RunReport, asset_report, subject, text, text_table
from brain_core.labels import NOTICE

RULES = [
    {"name": "macro-F1 difference", "value": "+0.0200", "limit": "at least -0.01", "passed": True},
    {"name": "recall of glioma", "value": "-0.1000 (p = 0.0010)", "limit": "not both", "passed": False},
]
MODELS = [
    {"version": "4", "aliases": "challenger", "macro_f1": "0.91 (0.88 to 0.93)", "roc_auc": None},
    {"version": "3", "aliases": "", "macro_f1": "0.87 (0.82 to 0.90)", "roc_auc": None},
    {"version": "2", "aliases": "", "macro_f1": "0.88 (0.83 to 0.91)", "roc_auc": None},
    {"version": "1", "aliases": "champion, last", "macro_f1": "0.89 (0.86 to 0.92)", "roc_auc": None},
]
DECISION = AssetReport(
    {"version": "2", "decision": "kept the champion", "reason": "The champion 1 stays: recall of glioma."},
    {"rules": RULES, "metrics_table": MODELS},
)


def report(**other) -> RunReport:
    told = {
        "job": "data_and_model_build",
        "run_id": "run-1",
        "duration_s": 125.2,
        "assets": {"model_evaluation": AssetReport({"accuracy": 0.9}), "promotion": DECISION},
        "failures": {},
        "dagster_url": "http://dagit",
        "mlflow_url": "http://mlflow",
    }
    return RunReport(**{**told, **other})


def test_why_a_retraining_ran_and_what_it_learned_from_are_told():
    learned = AssetReport({"rows": 51, "used": 41, "held_out": 10})
    told = text(report(reason="51 corrected images wait.", assets={"feedback_set": learned, "promotion": DECISION}))
    assert "Started because: 51 corrected images wait." in told
    assert "feedback_set\n  rows: 51\n  used: 41\n  held_out: 10" in told


def test_a_success_tells_what_ran_the_figures_the_decision_with_its_rules_and_where_to_look():
    told = text(report())
    assert told.startswith("data_and_model_build succeeded after 2 min 5 s.")
    assert "What was made\n  model_evaluation, promotion" in told
    assert "accuracy: 0.9" in told
    assert "decision: kept the champion\n  reason: The champion 1 stays: recall of glioma." in told
    assert "Run: http://dagit/runs/run-1" in told
    assert "Decision: http://dagit/assets/promotion" in told
    assert "Models: http://mlflow/#/models/brain-tumor-classifier/versions/2" in told
    lines = told.splitlines()
    (failing,) = [line for line in lines if "recall of glioma" in line and "p = " in line]
    assert failing.endswith("NO")
    assert NOTICE not in told, "the mailer adds it, once"


def test_the_newest_models_and_the_champion_stand_side_by_side():
    lines = text(report()).splitlines()
    first = lines.index("Models") + 1
    assert [line.strip() for line in lines[first : first + 4]] == [
        "version 4            version 3            version 1",
        "--------  -------------------  -------------------  -------------------",
        "aliases   challenger                                champion, last",
        "macro_f1  0.91 (0.88 to 0.93)  0.87 (0.82 to 0.90)  0.89 (0.86 to 0.92)",
    ]
    assert "version 2" not in text(report())
    assert "roc_auc" not in text(report())


def test_a_failure_tells_each_step_with_its_reason_and_what_was_found_before():
    told = text(
        report(
            failures={"promotion": "MLflow is away.", "x": "y"}, assets={"model_evaluation": AssetReport({"ece": 0.02})}
        )
    )
    assert told.startswith("data_and_model_build failed after 2 min 5 s. What was there before stays in use.")
    assert "promotion: MLflow is away.\nx: y" in told
    assert "ece: 0.02" in told
    assert "/assets/promotion" not in told
    assert told.endswith("Models: http://mlflow/#/models/brain-tumor-classifier")


def test_a_run_that_made_nothing_can_be_told():
    told = text(report(failures={"run": "out of memory"}, assets={}, duration_s=None))
    assert told.startswith("data_and_model_build failed. ")
    assert "What was made" not in told


def test_the_subject_says_how_it_ended_and_what_was_decided():
    assert subject(report()) == "Brain Assets: data_and_model_build succeeded: kept the champion"
    assert subject(report(assets={})) == "Brain Assets: data_and_model_build succeeded"
    assert subject(report(failures={"a": "b"})) == "Brain Assets: data_and_model_build FAILED"


def test_a_table_has_the_columns_that_say_something():
    assert text_table([{"a": 1, "b": None, "c": True}, {"a": 22, "b": None, "c": False}]) == [
        "a   c", "--  ---", "1   yes", "22  NO",
    ]  # fmt: skip
    assert text_table([]) == []
    assert text_table([{"a": None}]) == []


def test_a_long_cell_is_cut_and_a_long_reason_is_not():
    assert text_table([{"a": "x" * 100}])[2] == "x" * 71 + "…"
    reason = "x" * 400
    assert reason in text(report(assets={"promotion": AssetReport({"decision": "promoted", "reason": reason})}))


def test_of_an_assets_metadata_pictures_and_json_stay_in_dagit():
    records = [dg.TableRecord({"name": "a", "passed": True})]
    metadata = {
        "decision": dg.MetadataValue.text("promoted"),
        "accuracy": dg.MetadataValue.float(0.9),
        "rules": dg.MetadataValue.table(records),
        "picture": dg.MetadataValue.md("x" * 5000),
        "paths": dg.MetadataValue.json({"a": 1}),
    }
    found = asset_report(metadata)
    assert found.values == {"decision": "promoted", "accuracy": 0.9}
    assert found.tables == {"rules": [{"name": "a", "passed": True}]}
