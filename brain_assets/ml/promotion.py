"""Which model answers: the policy as data, the decision as a pure function.

Champion and challenger are judged on the same test images. Differences are tested by permuting, group by group,
which model gave which answers (a paired permutation test: Good 2005, Permutation, Parametric and Bootstrap Tests).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from brain_assets.ml.metrics import balanced_accuracy, group_confusions, macro_f1, recalls
from brain_core.labels import CLASSES

PERMUTATIONS = 2000
SYNTHETIC = "sample"


class PromotionPolicy(BaseModel):
    """The limits, fixed before training.

    Attributes:
        floor_balanced_accuracy: what a first champion must reach.
        macro_f1_margin: the challenger's macro-F1 may be so much lower at most.
        recall_margin: no class's recall may be both significantly and by more than this lower.
        alpha: significance level of the one-sided tests.
        min_groups: with fewer common test groups the champion stays.
    """

    floor_balanced_accuracy: float = 0.5
    macro_f1_margin: float = 0.01
    recall_margin: float = 0.02
    alpha: float = 0.05
    min_groups: int = 20


@dataclass(frozen=True)
class Candidate:
    """A model's answers on the common test images.

    Attributes:
        version: of the registered model.
        source: what it was trained on: sample, public or own.
        probabilities: float (N, 4).
    """

    version: str
    source: str
    probabilities: NDArray[np.floating[Any]]


@dataclass(frozen=True)
class TestImages:
    """What both are judged on: labels and groups, int64 (N,)."""

    labels: NDArray[np.int64]
    groups: NDArray[np.int64]


class Rule(BaseModel):
    """One rule of the decision: what it found, what the limit is, whether it holds."""

    name: str
    value: str
    limit: str
    passed: bool


class Decision(BaseModel):
    """Promote or keep, with every rule."""

    is_promoted: bool
    reason: str
    rules: list[Rule]


def decide(
    challenger: Candidate, champion: Candidate | None, test: TestImages, policy: PromotionPolicy, seed: int = 0
) -> Decision:
    """Apply the policy; promoted only when every rule holds, so a tie keeps the champion.

    Args:
        challenger: the new model.
        champion: the one that answers now; None when there is none.
        test: the images that both were judged on.
        policy: the limits.
        seed: of the permutations.
    """
    if champion is None:
        return _first_decision(challenger, test, policy)
    comparison = _Comparison(challenger, champion, test, seed)
    rules = [
        _provenance(challenger, champion),
        _enough_groups(comparison, policy),
        _not_worse(comparison, policy),
        *(_recall_holds(comparison, index, policy) for index in range(len(CLASSES))),
        _better(comparison, policy),
    ]
    failed = [rule.name for rule in rules if not rule.passed]
    if failed:
        reason = f"The champion {champion.version} stays; these rules do not hold: {'; '.join(failed)}."
    else:
        reason = f"Version {challenger.version} replaces {champion.version}: every rule holds."
    return Decision(is_promoted=not failed, reason=reason, rules=rules)


class _Comparison:
    """Confusion matrices of both models by group, and permutation tests on them."""

    def __init__(self, challenger: Candidate, champion: Candidate, test: TestImages, seed: int) -> None:
        self.a, self.b = (
            group_confusions(model.probabilities.argmax(axis=-1), test.labels, test.groups)[0]
            for model in (challenger, champion)
        )
        swaps = np.random.default_rng(seed).integers(0, 2, (PERMUTATIONS, len(self.a))).astype(np.float64)
        # Row 0 is what was observed: every group keeps its own answers.
        self._keeps = np.concatenate([np.ones((1, len(self.a))), swaps])

    def differences(self, figure: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float64]:
        """Challenger minus champion: observed first, then under each permutation."""
        a = np.tensordot(self._keeps, self.a - self.b, axes=1) + self.b.sum(axis=0)
        return np.asarray(figure(a) - figure((self.a + self.b).sum(axis=0) - a))

    def p_value(self, figure: Callable[[NDArray[np.float64]], NDArray[np.float64]], sign: int) -> tuple[float, float]:
        """The observed difference and its one-sided p-value; `sign` 1: challenger higher, -1: lower."""
        differences = sign * self.differences(figure)
        extreme = (differences[1:] >= differences[0] - 1e-12).sum()
        return sign * float(differences[0]), float((1 + extreme) / (1 + PERMUTATIONS))


def _first_decision(challenger: Candidate, test: TestImages, policy: PromotionPolicy) -> Decision:
    matrix = group_confusions(challenger.probabilities.argmax(axis=-1), test.labels, test.groups)[0].sum(axis=0)
    value = float(balanced_accuracy(matrix))
    floor = policy.floor_balanced_accuracy
    rule = Rule(name="balanced accuracy", value=f"{value:.3f}", limit=f"at least {floor}", passed=value >= floor)
    verdict = "becomes the first champion" if rule.passed else "is too weak to become the first champion"
    return Decision(is_promoted=rule.passed, reason=f"Version {challenger.version} {verdict}.", rules=[rule])


def _provenance(challenger: Candidate, champion: Candidate) -> Rule:
    passed = challenger.source != SYNTHETIC or champion.source == SYNTHETIC
    value = f"{challenger.source} against {champion.source}"
    return Rule(name="provenance", value=value, limit="synthetic never replaces real", passed=passed)


def _enough_groups(comparison: _Comparison, policy: PromotionPolicy) -> Rule:
    count = len(comparison.a)
    limit = f"at least {policy.min_groups}"
    return Rule(name="common test groups", value=str(count), limit=limit, passed=count >= policy.min_groups)


def _not_worse(comparison: _Comparison, policy: PromotionPolicy) -> Rule:
    difference = float(comparison.differences(macro_f1)[0])
    limit = f"at least {-policy.macro_f1_margin}"
    passed = difference >= -policy.macro_f1_margin
    return Rule(name="macro-F1 difference", value=f"{difference:+.4f}", limit=limit, passed=passed)


def _recall_holds(comparison: _Comparison, index: int, policy: PromotionPolicy) -> Rule:
    difference, p = comparison.p_value(lambda matrices: np.nan_to_num(recalls(matrices)[..., index]), sign=-1)
    is_lower = difference < -policy.recall_margin and p < policy.alpha
    limit = f"not both below {-policy.recall_margin} and p < {policy.alpha}"
    value = f"{difference:+.4f} (p = {p:.3f})"
    return Rule(name=f"recall of {CLASSES[index]}", value=value, limit=limit, passed=not is_lower)


def _better(comparison: _Comparison, policy: PromotionPolicy) -> Rule:
    difference, p = comparison.p_value(macro_f1, sign=1)
    value = f"{difference:+.4f} (p = {p:.3f})"
    return Rule(name="better on the frozen test", value=value, limit=f"p < {policy.alpha}", passed=p < policy.alpha)
