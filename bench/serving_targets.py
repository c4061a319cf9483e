"""What `bench/serving.py` must reach, and its tables."""

from typing import Any

from rich.console import Console
from rich.table import Table

PRODUCT = "this API"
BUSY = ("8", "32")
LEAST_AGAINST_MLFLOW = 1.5
LEAST_SHARE_OF_BARE = 0.55
MOST_TIMES_BARE_P50 = 3.0
LEAST_TIMES_REPLACED = 300.0
MOST_RSS_MIB = 400.0
MOST_GROWTH_MIB = 10.0
MOST_START_S = 3.0
SETTLED = 2
"""Readings of the memory after which it may grow no more: pools and caches fill at the beginning."""


def missed_targets(figures: dict[str, Any]) -> list[str]:
    """What is not reached, in words."""
    return [*_against_peers(figures["loads"]), *_against_bare(figures), *_alone(figures), *_answers(figures)]


def _against_peers(loads: dict[str, Any]) -> list[str]:
    missed = []
    for count in BUSY:
        own = loads[PRODUCT][count]
        for name in loads.keys() - {PRODUCT}:
            peer = loads[name][count]
            least = peer["requests_a_second"] * (LEAST_AGAINST_MLFLOW if name.startswith("mlflow") else 1.0)
            if own["requests_a_second"] < least:
                missed.append(f"{count} connections: {own['requests_a_second']:.1f}/s, {name} asks for {least:.1f}/s")
            if own["p99_ms"] >= peer["p99_ms"]:
                missed.append(f"{count} connections: p99 {own['p99_ms']:.0f} ms, {name} has {peer['p99_ms']:.0f} ms")
    return sorted(missed)


def _against_bare(figures: dict[str, Any]) -> list[str]:
    missed = []
    if (share := share_of_bare(figures)) < LEAST_SHARE_OF_BARE:
        missed.append(f"{share:.0%} of the bare loop, at least {LEAST_SHARE_OF_BARE:.0%}")
    if (times := times_bare_p50(figures)) > MOST_TIMES_BARE_P50:
        missed.append(f"p50 at 1 connection is {times:.1f} times the bare one, at most {MOST_TIMES_BARE_P50:.0f}")
    if (times := times_replaced(figures)) < LEAST_TIMES_REPLACED:
        missed.append(f"{times:.0f} times faster than the replaced system, at least {LEAST_TIMES_REPLACED:.0f}")
    return missed


def _alone(figures: dict[str, Any]) -> list[str]:
    missed = []
    if figures["start_s"] > MOST_START_S:
        missed.append(f"{figures['start_s']:.1f} s from start to ready, at most {MOST_START_S:.0f}")
    if (rss := max(map(max, figures["rss_mib"]))) > MOST_RSS_MIB:
        missed.append(f"{rss:.0f} MiB a worker, at most {MOST_RSS_MIB:.0f}")
    if (growth := growth_mib(figures)) > MOST_GROWTH_MIB:
        missed.append(f"a worker grew by {growth:.1f} MiB, at most {MOST_GROWTH_MIB:.0f}")
    if figures["heavy_imports"]:
        missed.append(f"serving loads {', '.join(figures['heavy_imports'])}")
    return missed


def _answers(figures: dict[str, Any]) -> list[str]:
    """Every contestant must answer what it is asked, else its speed says nothing; 422 is the gate's refusal."""
    missed = []
    for name, by_connections in figures["loads"].items():
        for count, load in by_connections.items():
            good = {"200", "201", *(["422"] if name == PRODUCT else [])}
            other = {status: number for status, number in load["statuses"].items() if status not in good}
            if other or load["lost"]:
                missed.append(f"{name}, {count} connections: answers {other or 'none'} and {load['lost']} lost")
    if figures["rows"] != figures["stored_images"]:
        missed.append(f"{figures['rows']} rows but {figures['stored_images']} images")
    return missed


def share_of_bare(figures: dict[str, Any]) -> float:
    """Throughput at 8 or 32 connections, whichever is lower, as a share of the bare loop's."""
    rates = (figures["loads"][PRODUCT][count]["requests_a_second"] for count in BUSY)
    return float(min(rates) / figures["bare_images_a_second"])


def times_bare_p50(figures: dict[str, Any]) -> float:
    """Median latency at one connection in times of bare decoding and model."""
    return float(figures["loads"][PRODUCT]["1"]["p50_ms"] / figures["bare_p50_ms"])


def times_replaced(figures: dict[str, Any]) -> float:
    """How many times longer the replaced system takes for an upload, at one connection."""
    return float(figures["replaced_system"]["p50_ms"] / figures["loads"][PRODUCT]["1"]["p50_ms"])


def growth_mib(figures: dict[str, Any]) -> float:
    """The most that a worker grew from its settled size to the end; 0 with too few readings."""
    settled = figures["rss_mib"][SETTLED:]
    return max((after - before for before, after in zip(settled[0], settled[-1], strict=True)), default=0.0)


def show(figures: dict[str, Any], missed: list[str]) -> None:
    """Print the tables."""
    console = Console()
    names = ("requests/s", "p50 ms", "p99 ms", "processor ms a request")
    table = Table("server", "connections", *names)
    for name, by_connections in figures["loads"].items():
        for count, load in by_connections.items():
            row = (load["requests_a_second"], load["p50_ms"], load["p99_ms"], load["processor_ms"])
            table.add_row(name, count, *(f"{value:.1f}" for value in row))
    console.print(table)
    table = Table("figure", "value")
    for name, value in _single_figures(figures).items():
        table.add_row(name, value)
    console.print(table)
    for target in missed:
        console.print(f"[red]missed: {target}[/red]")


def _single_figures(figures: dict[str, Any]) -> dict[str, str]:
    replaced_ms = figures["replaced_system"]["p50_ms"]
    return {
        "bare loop, images/s": f"{figures['bare_images_a_second']:.1f}",
        "share of it (8 or 32 connections, the lower)": f"{share_of_bare(figures):.0%}",
        "bare decode and model, p50 ms": f"{figures['bare_p50_ms']:.1f}",
        "p50 at 1 connection, times that": f"{times_bare_p50(figures):.2f}",
        "replaced system, p50 ms": f"{replaced_ms:.0f}",
        "times faster than that": f"{times_replaced(figures):.0f}",
        "start to ready, s": f"{figures['start_s']:.2f}",
        "largest worker, MiB": f"{max(map(max, figures['rss_mib'])):.0f}",
        "growth of a worker, MiB": f"{growth_mib(figures):.1f}",
        "rows; images in the bucket": f"{figures['rows']}; {figures['stored_images']}",
        "load average before and after": f"{figures['load_average_before']:.1f}; {figures['load_average_after']:.1f}",
    }
