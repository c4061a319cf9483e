from brain_assets.defs.notifications import failure_text, success_text


def test_the_success_mail_has_the_figures_the_decision_and_the_links():
    metadata = {"model_evaluation": {"accuracy": 0.9}, "promotion": {"decision": "promoted"}, "histograms": {"rows": 4}}
    text = success_text("data_and_model_build", "run-1", metadata)
    assert "data_and_model_build succeeded" in text
    assert "accuracy: 0.9" in text
    assert "decision: promoted" in text
    assert "rows" not in text
    assert "/runs/run-1" in text


def test_the_failure_mail_names_each_step_with_its_reason():
    text = failure_text("model_retraining", "run-2", {"trained_model": "The loss became nan."})
    assert "trained_model: The loss became nan." in text
    assert "stays in use" in text
