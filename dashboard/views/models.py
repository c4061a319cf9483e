"""Models: what answers now, the versions side by side, why each was promoted or not, and promotion by an admin."""

from typing import Any

import streamlit as st

from brain_core.client import BrainClient
from brain_core.contracts import ModelCard, ModelList, ModelVersion
from dashboard import decision_words, metrics_tables, promoting
from dashboard.admin import admin_failures_told, key_door
from dashboard.decision_words import ToldDecision
from dashboard.metrics_tables import METRICS, figure_at, figure_text, interval_text
from dashboard.plain_text import escaped
from dashboard.resources import client, failures_told
from dashboard.wording import NOTHING

COMPARED = 3
"""Versions beside each other unless the reader chooses others; more do not fit beside each other on most screens."""

SHOWN_VERSIONS = 6
SOURCES = {"sample": "synthetic slices", "public": "the public data set", "own": "images of this installation"}
HEADLINE = ("balanced_accuracy", "macro_f1", "ece")


def page() -> None:
    """The whole page."""
    st.title("Models")
    st.markdown("Which model answers, how good each version is, and why it was or was not promoted.")
    answering = st.container(border=True)
    with answering, failures_told():
        _answering(client().model())
    promoting.said()
    admin = key_door()
    if admin is None:
        return
    with admin_failures_told():
        _everything(admin, admin.models())


def _answering(card: ModelCard) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**Version {escaped(card.version)}**", width="content")
        st.badge("Answers now", icon=":material/check_circle:", color="green")
    known = [metric for metric in METRICS if metric.path[0] in HEADLINE]
    for column, metric in zip(st.columns(len(known)), known, strict=True):
        figure = figure_at(card.metrics, metric.path)
        value = NOTHING if figure is None else figure_text(metric, figure.value)
        column.metric(metric.name, value, help=metric.explanation)
        if figure is not None and (interval := interval_text(metric, figure)):
            column.caption(f"95 % interval: {interval}")
    trained_on = SOURCES.get(card.trained_on, card.trained_on)
    st.caption(
        f"Trained on {trained_on}, data version {escaped(card.data_version)}, "
        f"made {card.created_at:%Y-%m-%d}. {_judged_on(card.metrics)}"
    )


def _judged_on(metrics: dict[str, Any] | None) -> str:
    images, groups = figure_at(metrics, ("images",)), figure_at(metrics, ("components",))
    if images is None:
        return ""
    # Whose patient is not known counts by itself: that many patients there are at most.
    of_groups = f" in {groups.value:,.0f} unrelated groups (a patient each, where known)" if groups is not None else ""
    return f"Judged on {images.value:,.0f} slices{of_groups} that it had never seen."


def _everything(admin: BrainClient, listed: ModelList) -> None:
    st.session_state["models-fresh"] = True
    _champion(admin, listed)
    if listed.requests:
        with st.container(border=True):
            st.markdown("**What was asked for**")
            promoting.orders(admin, listed)
    if not listed.models:
        st.info("There is no model yet. The first one comes with the pipeline's first build.", icon=":material/info:")
        return
    _side_by_side(listed)
    st.header("Every version", anchor=False)
    is_short = len(listed.models) <= SHOWN_VERSIONS
    shows_all = is_short or st.toggle(f"Show all {len(listed.models)} versions", key="models-all")
    for model in listed.models if shows_all else listed.models[:SHOWN_VERSIONS]:
        _version(admin, listed, model)


def _champion(admin: BrainClient, listed: ModelList) -> None:
    if listed.champion is None:
        st.info("No version is published as the champion yet.", icon=":material/info:")
        return
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge("Champion", icon=":material/trophy:", color="green")
            st.markdown(f"**Version {escaped(listed.champion)}**", width="content")
            if listed.promoted_at is not None:
                by = f" by {escaped(listed.promoted_by)}" if listed.promoted_by else ""
                st.caption(f"since {listed.promoted_at:%Y-%m-%d %H:%M} UTC{by}")
        st.caption(
            "The champion is the version that the service is to answer with; it follows a change within seconds."
        )
        promoting.roll_back_button(admin, listed)


def _side_by_side(listed: ModelList) -> None:
    readable = {model.version: model for model in listed.models if model.metrics}
    if not readable:
        return
    st.header("Side by side", anchor=False)
    champion_first = sorted(readable, key=lambda version: version != listed.champion)
    chosen = champion_first
    if len(readable) > 1:
        chosen = st.pills(
            "Versions to compare",
            champion_first,
            selection_mode="multi",
            default=champion_first[:COMPARED],
            format_func=lambda version: f"Version {version}",
            key="models-compared",
        )
    made = metrics_tables.table([readable[version] for version in chosen])
    if made.empty:
        st.caption("Choose at least one version.")
        return
    st.table(made, border="horizontal", alt="Figures of the chosen versions beside each other")
    st.caption(
        f"{metrics_tables.BEST} and bold: the best of the row. Below each figure is its 95 % interval: where intervals "
        "overlap, the difference may be chance. Each version was judged on the test images of its own data version; "
        "the decisions below compare on the same ones."
    )
    with st.expander("What the figures mean", icon=":material/help:"):
        st.markdown("\n".join(f"- **{metric.name}.** {metric.explanation}" for metric in METRICS))


def _version(admin: BrainClient, listed: ModelList, model: ModelVersion) -> None:
    decision = decision_words.told(model.decision)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**Version {escaped(model.version)}**", width="content")
            _badges(model, decision)
        if model.fault is not None:
            # What follows the colon is for whoever reads the log.
            st.error(
                f"This model cannot be read, so it cannot be promoted: {escaped(model.fault.partition(': ')[0])}. "
                "The other versions are not touched by it.",
                icon=":material/broken_image:",
            )
        else:
            st.caption(_facts(model))
        if decision is not None:
            _decision(model.version, decision)
        elif model.fault is None:
            st.caption("No comparison with a champion is recorded for this version.")
        if not model.is_champion and model.fault is None:
            promoting.promote_button(admin, listed, model)


def _badges(model: ModelVersion, decision: ToldDecision | None) -> None:
    if model.is_champion:
        st.badge("Champion", icon=":material/trophy:", color="green")
    if model.fault is not None:
        st.badge("Damaged", icon=":material/broken_image:", color="red")
    if decision is not None and decision.is_promoted:
        st.badge("Promoted", icon=":material/check:", color="blue")
    elif decision is not None:
        st.badge("Not promoted", icon=":material/close:", color="gray")


def _facts(model: ModelVersion) -> str:
    trained_on = SOURCES.get(model.trained_on or "", model.trained_on or NOTHING)
    corrections = " and readers' corrections" if model.is_trained_on_feedback else ""
    made = f"{model.created_at:%Y-%m-%d %H:%M} UTC" if model.created_at else NOTHING
    network, data = escaped(model.architecture or NOTHING), escaped(model.data_version or NOTHING)
    return (
        f"Network {network} · trained on {trained_on}{corrections} · data version {data} · made {made}  \n"
        f"{_judged_on(model.metrics)}"
    )


def _decision(version: str, decision: ToldDecision) -> None:
    st.markdown(escaped(decision_words.summary(version, decision)))
    if decision.failed:
        st.markdown("\n".join(_rule_line(rule) for rule in decision.failed))
    if not decision.rules and decision.figures.empty:
        return
    with st.expander("Every rule and figure of the decision", icon=":material/rule:"):
        st.markdown("\n".join(_rule_line(rule) for rule in decision.rules))
        st.caption("p is the chance of seeing at least such a difference although both models are equally good.")
        if not decision.figures.empty:
            st.table(decision.figures, border="horizontal", alt="Figures of both models on the same images")
        if decision.decided_at is not None:
            st.caption(f"Decided {decision.decided_at:%Y-%m-%d %H:%M} UTC.")


def _rule_line(rule: decision_words.ToldRule) -> str:
    mark, word = (":material/check:", "holds") if rule.passed else (":material/close:", "does not hold")
    return f"- {mark} **{escaped(rule.name)}** {word}: {escaped(rule.value)} (asked for: {escaped(rule.limit)})"


if __name__ == "__main__":
    page()
