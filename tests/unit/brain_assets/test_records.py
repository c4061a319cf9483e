from brain_assets.ml.promotion import Decision, Rule
from brain_assets.ml.records import WEIGHTS_KEY, PromotionRecord
from brain_core.storage import asset_key


def test_a_decision_survives_its_json():
    rule = Rule(name="macro-F1 difference", value="+0.1", limit="at least -0.01", passed=True)
    record = PromotionRecord(
        version="2", champion_before="1", decision=Decision(is_promoted=True, reason="better", rules=[rule])
    )
    assert PromotionRecord.model_validate_json(record.model_dump_json()) == record


def test_the_weights_lie_beside_their_record():
    assert asset_key("trained_model", "model.weights.h5") == WEIGHTS_KEY
