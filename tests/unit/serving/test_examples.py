import pytest

from brain_core import contracts
from serving import examples


@pytest.mark.parametrize(
    ("answer", "status", "contract"),
    [
        (examples.CREATED, 201, contracts.CreatedPrediction),
        (examples.PREDICTION, 200, contracts.Prediction),
        (examples.FEEDBACK, 200, contracts.Feedback),
        (examples.MODEL, 200, contracts.ModelCard),
        (examples.CONSENT, 200, contracts.Consent),
        (examples.EXPLANATION, 200, contracts.Explanation),
        (examples.REVIEW_QUEUE, 200, contracts.ReviewQueue),
        (examples.REVIEW_ITEM, 200, contracts.ReviewItem),
        (examples.MODEL_LIST, 200, contracts.ModelList),
        (examples.PROMOTION_ORDER, 202, contracts.PromotionOrder),
    ],
)
def test_an_example_is_what_the_api_answers(answer, status, contract):
    contract.model_validate(answer[status]["content"]["application/json"]["example"])


def test_the_example_is_consistent():
    prediction = examples.CREATED[201]["content"]["application/json"]["example"]
    assert sum(prediction["probabilities"].values()) == pytest.approx(1)
    assert max(prediction["probabilities"], key=prediction["probabilities"].get) == prediction["predicted_class"]
    assert prediction["confidence"] == max(prediction["probabilities"].values())


def test_the_examples_of_feedback_are_accepted():
    for example in examples.FEEDBACK_REQUEST["content"]["application/json"]["examples"].values():
        contracts.FeedbackRequest.model_validate(example["value"])


def test_the_examples_of_reviews_are_accepted():
    for example in examples.REVIEW_REQUEST["content"]["application/json"]["examples"].values():
        contracts.ReviewRequest.model_validate(example["value"])
