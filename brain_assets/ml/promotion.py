"""Which model answers: the rules of the `policy`, and the decision as a pure function of what both models answered."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.ml.localisation import NO_TUMOUR
from brain_assets.ml.metrics import Counts, balanced_accuracy, macro_f1, recalls
from brain_assets.ml.metrics import accuracy as share_right
from brain_assets.ml.model import BASELINE
from brain_assets.ml.paired import Figure, PairedComparison
from brain_assets.ml.policy import Candidate, ComparedFigure, Evidence, JudgedImages, PromotionPolicy
from brain_assets.ml.policy import Decision as Decision
from brain_assets.ml.policy import Rule as Rule
from brain_core.labels import CLASSES

SYNTHETIC = "sample"
TUMOURS = tuple(index for index in range(len(CLASSES)) if index != NO_TUMOUR)

_ROUNDING = 1e-9
"""A difference that is exactly at its limit is within it."""


def decide(
    challenger: Candidate, champion: Candidate | None, evidence: Evidence, policy: PromotionPolicy | None = None
) -> Decision:
    """Apply the policy; promoted only when every rule holds, so a tie keeps the champion.

    Args:
        challenger: the new model.
        champion: the one that answers now; None when there is none.
        evidence: the images that both were judged on.
        policy: the limits.
    """
    policy = policy or PromotionPolicy()
    if champion is None:
        return _first_decision(challenger, evidence.test, policy)
    rules = [
        _another_model(challenger, champion),
        _network(challenger),
        _provenance(challenger, champion),
        _enough_groups(evidence.test, policy),
        _parity(challenger, policy.max_parity),
        _latency(challenger, champion, policy),
    ]
    figures: list[ComparedFigure] = []
    if len(evidence.test):
        comparison = _Comparison(challenger, champion, evidence, policy)
        rules += comparison.rules()
        figures = comparison.figures()
    return _conclusion(challenger, champion, rules, figures)


def _conclusion(
    challenger: Candidate, champion: Candidate | None, rules: list[Rule], figures: list[ComparedFigure]
) -> Decision:
    failed = "; ".join(f"{rule.name} ({rule.value}; {rule.limit})" for rule in rules if not rule.passed)
    version = challenger.version
    if champion is None:
        kept, promoted = f"Version {version} does not become the first champion", "becomes the first champion"
    else:
        kept, promoted = f"The champion {champion.version} stays", f"replaces {champion.version}"
    reason = f"{kept}: {failed}." if failed else f"Version {version} {promoted}: every rule holds."
    return Decision(is_promoted=not failed, reason=reason, rules=rules, figures=figures)


@dataclass(frozen=True)
class _Comparison:
    """The rules that need the answers of both models."""

    challenger: Candidate
    champion: Candidate
    evidence: Evidence
    policy: PromotionPolicy
    test: PairedComparison = field(init=False)

    def __post_init__(self) -> None:
        test = self.evidence.test
        answers = self.challenger.test.predictions, self.champion.test.predictions
        object.__setattr__(self, "test", PairedComparison(*answers, test.labels, test.components, self.evidence.seed))

    def rules(self) -> list[Rule]:
        return [
            self._not_worse(),
            *(self._recall_holds(index) for index in range(len(CLASSES))),
            self._better(),
            _calibration(self.challenger, self.policy.max_calibration_error),
            *(self._map_holds(index) for index in TUMOURS),
        ]

    def figures(self) -> list[ComparedFigure]:
        of_answers = _HEADLINE | {f"recall of {name}": _recall_of(index) for index, name in enumerate(CLASSES)}
        found = [_figure(name, figure, self.test) for name, figure in of_answers.items()]
        pair = self.challenger, self.champion
        found.append(_simple("calibration error", *(model.calibration_error for model in pair)))
        found += [_simple(f"map on {CLASSES[index]}", *self._shares_on_tumour(index)[:2]) for index in TUMOURS]
        found += self._feedback_figures()
        return [*found, _simple("ms for one image on one thread", *(model.latency_ms for model in pair))]

    def _feedback_figures(self) -> list[ComparedFigure]:
        comparison, images = self._on_feedback(), self.evidence.feedback
        if comparison is None or images is None:
            return []
        where = f"on held-out feedback ({len(images)} images)"
        figures: dict[str, Figure] = {"macro-F1": macro_f1, "accuracy": share_right}
        return [_figure(f"{name} {where}", figure, comparison) for name, figure in figures.items()]

    def _not_worse(self) -> Rule:
        policy = self.policy
        challenger, champion = self.test.values(macro_f1)
        bound = self.test.lower_bound(macro_f1, policy.alpha)
        difference = challenger - champion
        margins_hold = difference >= -policy.macro_f1_margin - _ROUNDING, bound >= -policy.macro_f1_bound - _ROUNDING
        return Rule(
            name="macro-F1 difference",
            value=f"{difference:+.4f}, with {1 - policy.alpha:.0%} confidence at least {bound:+.4f}",
            limit=f"at least {-policy.macro_f1_margin} and {-policy.macro_f1_bound}",
            passed=all(margins_hold),
        )

    def _recall_holds(self, index: int) -> Rule:
        policy, figure = self.policy, _recall_of(index)
        name, limit = f"recall of {CLASSES[index]}", f"not both below {-policy.recall_margin} and p < {policy.alpha}"
        challenger, champion = self.test.values(figure)
        if np.isnan(challenger):
            return Rule(name=name, value="not assessed: no such images", limit=limit, passed=True)
        difference, p = challenger - champion, self.test.p_value(figure, sign=-1)
        is_lower = difference < -policy.recall_margin - _ROUNDING and p < policy.alpha
        return Rule(name=name, value=f"{difference:+.4f} (p = {p:.4f})", limit=limit, passed=not is_lower)

    def _better(self) -> Rule:
        name, told, p_values = "better on the frozen test", [], []
        for where, comparison in self._tests().items():
            challenger, champion = comparison.values(macro_f1)
            p_values.append(comparison.p_value(macro_f1, sign=1))
            told.append(f"{where}{challenger - champion:+.4f} (p = {p_values[-1]:.4f})")
        p = min(1.0, len(p_values) * min(p_values))
        if len(p_values) > 1:
            name += " or on held-out feedback"
            told.append(f"p of the better of both, corrected for two looks: {p:.4f}")
        limit = f"p < {self.policy.alpha}"
        return Rule(name=name, value=", ".join(told), limit=limit, passed=p < self.policy.alpha)

    def _tests(self) -> dict[str, PairedComparison]:
        second = self._on_feedback()
        if second is None or len(self.evidence.feedback or ()) < self.policy.min_feedback_groups:
            return {"": self.test}
        return {"frozen test ": self.test, "feedback ": second}

    def _on_feedback(self) -> PairedComparison | None:
        images, answers = self.evidence.feedback, (self.challenger.feedback, self.champion.feedback)
        if not images or answers[0] is None or answers[1] is None:
            return None
        predictions = answers[0].predictions, answers[1].predictions
        return PairedComparison(*predictions, images.labels, images.components, self.evidence.seed)

    def _map_holds(self, index: int) -> Rule:
        policy = self.policy
        name, limit = f"map on {CLASSES[index]}", f"not more than {policy.localisation_margin} lower"
        challenger, champion, count = self._shares_on_tumour(index)
        if count < policy.min_boxes_of_class:
            few = f"not assessed: {count} rightly told with a known box, fewer than {policy.min_boxes_of_class}"
            return Rule(name=name, value=few, limit=limit, passed=True)
        passed = challenger - champion >= -policy.localisation_margin - _ROUNDING
        value = f"{challenger - champion:+.4f} ({challenger:.3f} against {champion:.3f} of {count})"
        return Rule(name=name, value=value, limit=limit, passed=passed)

    def _shares_on_tumour(self, index: int) -> tuple[float, float, int]:
        """Share of maps that point into the box, of both models, where both tell the tumour rightly; and how many."""
        images, pair = self.evidence.test, (self.challenger.test, self.champion.test)
        both_right = images.has_box & (images.labels == index)
        for answers in pair:
            both_right = both_right & (answers.predictions == index)
        if not both_right.any():
            return np.nan, np.nan, 0
        challenger, champion = (float(answers.on_tumour[both_right].mean()) for answers in pair)
        return challenger, champion, int(both_right.sum())


def _first_decision(challenger: Candidate, test: JudgedImages, policy: PromotionPolicy) -> Decision:
    floors = policy.floors
    rules = [
        _network(challenger),
        _at_least("test groups", len(test), floors.min_groups),
        _parity(challenger, policy.max_parity),
        _at_most("ms for one image on one thread", challenger.latency_ms, floors.latency_ms),
    ]
    figures: list[ComparedFigure] = []
    if len(test):
        # Compared with itself: only the challenger's own figures are read.
        answers = challenger.test.predictions
        own = PairedComparison(answers, answers, test.labels, test.components)
        rules.append(_at_least("balanced accuracy", own.values(balanced_accuracy)[0], floors.balanced_accuracy))
        found = {name: own.values(_recall_of(index))[0] for index, name in enumerate(CLASSES)}
        rules += [_at_least(f"recall of {name}", value, floors.recall) for name, value in found.items()]
        rules.append(_calibration(challenger, floors.calibration_error))
        figures = [_simple(name, own.values(figure)[0]) for name, figure in _HEADLINE.items()]
        figures += [_simple(f"recall of {name}", value) for name, value in found.items()]
        figures.append(_simple("calibration error", challenger.calibration_error))
    return _conclusion(challenger, None, rules, figures)


_HEADLINE: dict[str, Figure] = {
    "macro-F1": macro_f1,
    "balanced accuracy": balanced_accuracy,
    "accuracy": share_right,
}


def _another_model(challenger: Candidate, champion: Candidate) -> Rule:
    value = f"{challenger.version} against {champion.version}"
    passed = challenger.version != champion.version
    return Rule(name="another model", value=value, limit="a model never replaces itself", passed=passed)


def _network(challenger: Candidate) -> Rule:
    passed = challenger.architecture != BASELINE
    limit = f"the baseline {BASELINE} is never promoted"
    return Rule(name="network", value=challenger.architecture or "not named", limit=limit, passed=passed)


def _provenance(challenger: Candidate, champion: Candidate) -> Rule:
    passed = challenger.source != SYNTHETIC or champion.source == SYNTHETIC
    value = f"{challenger.source} against {champion.source}"
    return Rule(name="provenance", value=value, limit="synthetic never replaces real", passed=passed)


def _enough_groups(test: JudgedImages, policy: PromotionPolicy) -> Rule:
    counts = np.bincount(test.labels, minlength=len(CLASSES))
    by_class = ", ".join(f"{name} {count}" for name, count in zip(CLASSES, counts, strict=True))
    passed = len(test) >= policy.min_groups and counts.min() >= policy.min_groups_of_class
    limit = f"at least {policy.min_groups}, and {policy.min_groups_of_class} of each class"
    return Rule(name="common test groups", value=f"{len(test)}: {by_class}", limit=limit, passed=bool(passed))


def _parity(challenger: Candidate, most: float) -> Rule:
    passed = challenger.parity <= most
    return Rule(name="ONNX = Keras", value=f"{challenger.parity:.1e}", limit=f"at most {most:.0e}", passed=passed)


def _latency(challenger: Candidate, champion: Candidate, policy: PromotionPolicy) -> Rule:
    most = max(policy.latency_ms, policy.latency_ratio * champion.latency_ms)
    return Rule(
        name="ms for one image on one thread",
        value=f"{challenger.latency_ms:.1f} against {champion.latency_ms:.1f}",
        limit=f"at most {policy.latency_ms:.0f} or {policy.latency_ratio} times the champion's",
        passed=challenger.latency_ms <= most,
    )


def _calibration(challenger: Candidate, most: float) -> Rule:
    return _at_most("calibration error", challenger.calibration_error, most)


def _at_least(name: str, value: float, least: float) -> Rule:
    # What is not defined (a class without images) breaks no floor.
    passed = bool(np.isnan(value)) or value >= least
    return Rule(name=name, value=_shown(value), limit=f"at least {least}", passed=passed)


def _at_most(name: str, value: float, most: float) -> Rule:
    return Rule(name=name, value=_shown(value), limit=f"at most {most}", passed=value <= most)


def _shown(value: float) -> str:
    if np.isnan(value):
        return "not assessed: no such images"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _figure(name: str, figure: Figure, comparison: PairedComparison) -> ComparedFigure:
    challenger, champion = (_known(value) for value in comparison.values(figure))
    return ComparedFigure(name=name, challenger=challenger, champion=champion, difference=comparison.difference(figure))


def _simple(name: str, challenger: float, champion: float = np.nan) -> ComparedFigure:
    return ComparedFigure(name=name, challenger=_known(challenger), champion=_known(champion))


def _known(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def _recall_of(index: int) -> Figure:
    def recall(matrices: Counts) -> NDArray[np.float64]:
        return recalls(matrices)[..., index]

    return recall
