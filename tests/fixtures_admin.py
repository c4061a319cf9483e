"""What the API answers to an admin, by its contract, and the pages with a key entered."""

from typing import Any
from uuid import UUID

from streamlit.testing.v1 import AppTest

from brain_core import contracts
from tests.fixtures_dashboard import NOW, PREDICTION_ID, Answer, PagesFactory, ScriptedApi, created

KEY = "brain_admin-key-of-the-page-tests"
SECOND_ID = UUID("0199c1f2-7c3e-7b4a-9d11-2f6f3a1b5c7e")


def review_item(**values: Any) -> contracts.ReviewItem:
    """Waiting feedback: the model said pituitary with 91 %, the reader glioma; except for `values`."""
    item: dict[str, Any] = {
        "prediction_id": PREDICTION_ID,
        "revision": 1,
        "created_at": NOW,
        "agrees": False,
        "corrected_class": "glioma",
        "predicted_class": "pituitary",
        "confidence": 0.91,
        "is_uncertain": False,
        "model_version": "7",
        "review_state": "pending",
        "reviewer": None,
        "reviewed_at": None,
        "review_comment": None,
        "used_by_model_version": None,
        "similar": {"compared": 5, "agreeing": 4},
    }
    return contracts.ReviewItem(**{**item, **values})


def reviewed(review_state: str, **values: Any) -> contracts.ReviewItem:
    """The same when it was decided."""
    return review_item(review_state=review_state, reviewer="jo", reviewed_at=NOW, **values)


def answer(contract: contracts.Contract, status: int = 200) -> Answer:
    """An answer of the API with this body."""
    return status, contract.model_dump_json().encode()


def seen_again(**values: Any) -> Answer:
    """A prediction without its access token."""
    return answer(contracts.Prediction(**created(**values).model_dump(exclude={"access_token"})))


def queue(*items: contracts.ReviewItem, **values: Any) -> Answer:
    """A part of the queue."""
    usual: dict[str, Any] = {"total": len(items), "next_page": None, "waiting_images": 17, "retraining_above": 50}
    return answer(contracts.ReviewQueue(items=list(items), **{**usual, **values}))


def figures(accuracy: float, ece: float = 0.03) -> dict[str, Any]:
    """Metrics of a manifest."""
    share = {"value": accuracy, "low": accuracy - 0.03, "high": accuracy + 0.03}
    return {
        "images": 638,
        "components": 130,
        "accuracy": share,
        "balanced_accuracy": share,
        "macro_f1": share,
        "ece": {"value": ece, "low": 0.01, "high": 0.05},
        "by_class": {"glioma": {"precision": share, "recall": share, "images": 249}},
    }


def rule(name: str, passed: bool, value: str = "0.93", limit: str = "at least 0.5") -> dict[str, Any]:
    """A rule of a decision's record."""
    return {"name": name, "value": value, "limit": limit, "passed": passed}


def decision(is_promoted: bool, *rules: dict[str, Any], before: str | None = "6") -> dict[str, Any]:
    """A decision's record as the pipeline keeps it."""
    compared = {"name": "macro-F1", "challenger": 0.93, "champion": 0.9, "difference": None}
    return {
        "version": "7",
        "champion_before": before,
        "decided_at": NOW.isoformat(),
        "decision": {"is_promoted": is_promoted, "reason": "As it is.", "rules": list(rules), "figures": [compared]},
    }


def model_version(version: str, **values: Any) -> contracts.ModelVersion:
    """A version that can be read and of which nothing was decided."""
    model: dict[str, Any] = {
        "is_champion": False,
        "created_at": NOW,
        "architecture": "twin_map",
        "trained_on": "public",
        "is_trained_on_feedback": False,
        "data_version": "9f2c",
        "metrics": figures(0.9),
        "decision": None,
        "fault": None,
    }
    return contracts.ModelVersion(version=version, **{**model, **values})


def models(*versions: contracts.ModelVersion, **values: Any) -> contracts.ModelList:
    """The list of models; the champion is 7, and 6 was it before."""
    usual: dict[str, Any] = {
        "champion": "7",
        "promoted_at": NOW,
        "promoted_by": "dagster run 1",
        "former": ["6"],
        "requests": [],
    }
    return contracts.ModelList(models=list(versions), **{**usual, **values})


def order(version: str, state: str = "queued", message: str | None = None) -> contracts.PromotionOrder:
    """A request to make a version the champion."""
    return contracts.PromotionOrder(
        id=PREDICTION_ID,
        created_at=NOW,
        model_version=version,
        requested_by="jo",
        state=state,
        attempts=0,
        message=message,
        finished_at=None,
    )


def answers_of_an_admin(api: ScriptedApi) -> None:
    """A queue with two waiting corrections, and two models."""
    second = review_item(prediction_id=SECOND_ID, corrected_class="notumor")
    api.answers |= {
        "GET feedback": queue(review_item(), second),
        f"GET {PREDICTION_ID}": seen_again(),
        f"GET {SECOND_ID}": seen_again(id=SECOND_ID),
        "PUT review": answer(reviewed("accepted")),
        "GET models": answer(models(model_version("7", is_champion=True), model_version("6"))),
        "POST promote": answer(order("6"), 202),
    }


def with_key(open_page: PagesFactory, view: str, api_address: str, **environment: str) -> AppTest:
    """A view after a key was entered; reviews are required unless `environment` says otherwise."""
    environment = {"BRAIN_FEEDBACK__REVIEW": "required", "BRAIN_DASHBOARD__API_URL": api_address, **environment}
    return enter_key(open_page(view, **environment), KEY)


def enter_key(app: AppTest, key: str) -> AppTest:
    """Type a key and send it."""
    app.text_input(key="admin-key-entry").input(key)
    return press(app, "Use this key")


def press(app: AppTest, label: str) -> AppTest:
    """Press a button that can be pressed."""
    button = next(button for button in app.button if button.label == label)
    assert not button.disabled
    return button.click().run()
