"""The decision about a model in words, out of the record that the pipeline keeps; no Streamlit here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd

from dashboard.wording import CLASS_NAMES, NOTHING

RULES = {
    "another model": "It is another model",
    "network": "The network may be promoted",
    "provenance": "Made-up images never replace real ones",
    "common test groups": "Enough images that both are new to",
    "test groups": "Enough test images",
    "ONNX = Keras": "The published file answers as the trained model does",
    "ms for one image on one thread": "Quick enough (milliseconds an image)",
    "macro-F1 difference": "Not worse overall (macro-F1)",
    "balanced accuracy": "Right often enough (balanced accuracy)",
    "better on the frozen test": "Better on the fixed test images (macro-F1)",
    "better on the frozen test or on held-out feedback": "Better on fixed test images or on corrections (macro-F1)",
    "calibration error": "Its confidence can be believed (calibration error)",
}
"""The pipeline's names of the rules, in words; any other stands as it is."""

FIGURES = {"ms for one image on one thread": "Milliseconds an image", "calibration error": "Calibration error"}

_OF_CLASS = re.compile(rf"(recall of|map on) ({'|'.join(CLASS_NAMES)})")


@dataclass(frozen=True)
class ToldRule:
    """One rule: its name in words, what was found, what was asked for, whether it holds."""

    name: str
    value: str
    limit: str
    passed: bool


@dataclass(frozen=True)
class ToldDecision:
    """What was decided about a version.

    Attributes:
        is_promoted: did it become the champion?
        against: the champion that it was compared with; None where there was none, or it is not known.
        reason: as the pipeline gives it.
        decided_at: when, as far as it is known.
        rules: those that do not hold first.
        figures: both models' figures beside each other; empty where there are none.
    """

    is_promoted: bool
    against: str | None = None
    reason: str = ""
    decided_at: datetime | None = None
    rules: list[ToldRule] = field(default_factory=list)
    figures: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def failed(self) -> list[ToldRule]:
        """The rules that do not hold."""
        return [rule for rule in self.rules if not rule.passed]


def told(record: Mapping[str, Any] | None) -> ToldDecision | None:
    """A decision out of its record; None where there is none. What a record of another release lacks is left out."""
    decision = (record or {}).get("decision")
    if not isinstance(record, Mapping) or not isinstance(decision, Mapping):
        return None
    rules = [_rule(rule) for rule in decision.get("rules") or [] if isinstance(rule, Mapping)]
    before = record.get("champion_before")
    return ToldDecision(
        is_promoted=bool(decision.get("is_promoted")),
        against=str(before) if before else None,
        reason=str(decision.get("reason") or ""),
        decided_at=_time(record.get("decided_at")),
        rules=sorted(rules, key=lambda rule: rule.passed),
        figures=_figures(decision.get("figures") or [], has_champion=bool(before)),
    )


def summary(version: str, decision: ToldDecision) -> str:
    """What was decided and why, in a sentence."""
    if not decision.rules:
        outcome = "was promoted" if decision.is_promoted else "was not promoted"
        return f"Version {version} {outcome}. {decision.reason}".strip()
    if decision.is_promoted:
        compared = f"compared with version {decision.against}" if decision.against else "there was no champion"
        return f"Version {version} was promoted: all {len(decision.rules)} rules hold; {compared}."
    count = len(decision.failed)
    rules = f"{count} of {len(decision.rules)} rules {'does' if count == 1 else 'do'} not hold"
    stays = f"version {decision.against} stayed the champion" if decision.against else "none was published"
    return f"Version {version} was not promoted: {rules}, so {stays}."


def rule_name(name: str) -> str:
    """A rule's name in words."""
    if match := _OF_CLASS.fullmatch(name):
        kind, label = match.groups()
        class_name = CLASS_NAMES[label]
        return f"Finds {class_name} as well" if kind == "recall of" else f"The map points at: {class_name}"
    return RULES.get(name, name)


def figure_name(name: str) -> str:
    """A figure's name in words."""
    if match := _OF_CLASS.fullmatch(name):
        kind, label = match.groups()
        return f"Finds: {CLASS_NAMES[label]}" if kind == "recall of" else f"Map points at: {CLASS_NAMES[label]}"
    return FIGURES.get(name, name[:1].upper() + name[1:])


def _rule(rule: Mapping[str, Any]) -> ToldRule:
    value, limit = (str(rule.get(name) or NOTHING) for name in ("value", "limit"))
    return ToldRule(rule_name(str(rule.get("name") or NOTHING)), value, limit, bool(rule.get("passed")))


def _figures(figures: list[Any], has_champion: bool) -> pd.DataFrame:
    made = [
        {
            "Figure": figure_name(str(figure.get("name", NOTHING))),
            "This version": _number(figure.get("challenger")),
            **({"Champion then": _number(figure.get("champion"))} if has_champion else {}),
            **({"Difference (95 % interval)": _difference(figure.get("difference"))} if has_champion else {}),
        }
        for figure in figures
        if isinstance(figure, Mapping)
    ]
    return pd.DataFrame(made).set_index("Figure") if made else pd.DataFrame()


def _difference(difference: Any) -> str:
    try:
        return f"{difference['value']:+.3f} ({difference['low']:+.3f} to {difference['high']:+.3f})"
    except (TypeError, KeyError, ValueError):
        return NOTHING


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else NOTHING


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
