"""The charts of the monitoring page (Altair), each with a text for those who do not see it."""

import altair as alt
import pandas as pd
import streamlit as st

from dashboard.wording import CLASS_NAMES

CLASS_COLOURS = dict(zip(CLASS_NAMES.values(), ("#d55e00", "#1f7fc0", "#009e73", "#b8608f"), strict=True))
GOOD, BAD, GREY = "#1f8a93", "#c0504d", "#7a8a90"
HEIGHT_PX = 260


def bars(frame: pd.DataFrame, value: str, title: str, number_format: str) -> None:
    """One horizontal bar a class (the frame's index) with its number beside it."""
    shown = pd.DataFrame({"name": [CLASS_NAMES[str(key)] for key in frame.index], title: frame[value].to_numpy()})
    base = alt.Chart(shown).encode(
        x=alt.X(f"{title}:Q", title=title, scale=_from_zero(shown[title]), axis=alt.Axis(tickCount=4)),
        y=alt.Y("name:N", title=None, sort=list(CLASS_NAMES.values())),
    )
    bar = base.mark_bar(height=alt.RelativeBandSize(0.65), cornerRadiusEnd=3).encode(
        color=alt.Color("name:N", legend=None, scale=_scale(CLASS_COLOURS))
    )
    label = base.mark_text(align="left", dx=5, color=GREY).encode(text=alt.Text(f"{title}:Q", format=number_format))
    facts = ", ".join(f"{name} {number:{number_format}}" for name, number in shown.dropna().itertuples(index=False))
    show(bar + label, f"Bar chart, {title} for each class: {facts or 'nothing yet'}.")


def stacked(frame: pd.DataFrame, category: str, colours: dict[str, str], title: str) -> None:
    """Horizontal bars a class (`name`), stacked by `category`; the frame is long, with a column `count`."""
    sums = frame.groupby("name")["count"].sum()
    chart = (
        alt.Chart(frame)
        .mark_bar(height=alt.RelativeBandSize(0.65))
        .encode(
            x=alt.X("count:Q", title=title, scale=_from_zero(sums), axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("name:N", title=None, sort=list(CLASS_NAMES.values())),
            color=alt.Color(f"{category}:N", title=None, scale=_scale(colours), legend=_legend()),
        )
    )
    facts = ", ".join(f"{row['name']} {row[category]} {row['count']}" for row in frame.to_dict("records"))
    show(chart, f"Stacked bar chart, {title}: {facts}.")


def columns(frame: pd.DataFrame, x: alt.X, colours: dict[str, str], title: str, **channels: alt.SchemaBase) -> None:
    """Columns along `x`, stacked by the column `name`; the frame has a column `count`."""
    chart = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=x,
            y=alt.Y("count:Q", title="uploads", axis=alt.Axis(tickMinStep=1)),
            color=alt.Color("name:N", title=None, scale=_scale(colours), legend=_legend()),
            **channels,
        )
    )
    sums = frame.groupby("name")["count"].sum()
    show(chart, f"Column chart, {title}: {', '.join(f'{name} {count}' for name, count in sums.items())} in all.")


def show(chart: alt.Chart | alt.LayerChart, alt_text: str) -> None:
    """Draw a chart in the page's theme."""
    st.altair_chart(chart.properties(height=HEIGHT_PX), width="stretch", alt=alt_text)


def _scale(colours: dict[str, str]) -> alt.Scale:
    return alt.Scale(domain=list(colours), range=list(colours.values()))


def _from_zero(values: "pd.Series[float]") -> alt.Scale:
    # Without a bar that is longer than nothing, the axis would have its zero in the middle.
    return alt.Scale(domain=[0, max(1, values.max())] if values.notna().any() else [0, 1])


def _legend() -> alt.Legend:
    return alt.Legend(orient="top", offset=4, padding=0)
