"""Materialises what is new or missing as Dagster runs, with progress in the terminal, and verifies the result."""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from brain_cli.dagster_client import AssetState, DagsterClient, SensorTick
from brain_cli.pace import StepPace
from brain_core.errors import StartupError

INGESTION_JOB = "ingest_batch"
SOURCE_SENSOR = "source_sensor"
MONITORING_GROUP = "monitoring"
BASELINE_GROUP = "baseline"
"""What is made by hand only."""
POLL_INTERVAL_S = 0.5
TICK_TIMEOUT_S = 120.0
"""What a look at the source may take once it is due."""

DRY_RUN_S = 10.0
"""How long the next real look must be away for a dry run."""


@dataclass(frozen=True)
class Build:
    """What a build needs.

    Attributes:
        client: of the Dagster that runs.
        console: where progress is shown.
        check_alive: called now and then; raises when a process of the platform died.
        started_at: when Dagster was started, seconds since 1970; older runs that never ended were interrupted, and
            older looks at the source tell nothing of it.
        source_interval_s: seconds between two looks of the source sensor.
    """

    client: DagsterClient
    console: Console
    check_alive: Callable[[], None]
    started_at: float
    source_interval_s: float


def build_everything(build: Build) -> None:
    """Read what is new in the source, then make again what is missing or out of date; nothing else.

    Raises:
        StartupError: the source cannot be used and nothing was built before, or a run failed; the message names the
            step and the reason.
    """
    client = build.client
    client.wait_for_code()
    interrupted = client.cancel_interrupted(build.started_at)
    if interrupted:
        build.console.print(f"  {interrupted} interrupted runs of the last time were cancelled; what they left is used")
    _ingest(build, _look_at_source(build))
    for job, assets in jobs_to_run(client.assets()):
        _follow(build, client.launch(job, assets), job)


def jobs_to_run(assets: Iterable[AssetState]) -> list[tuple[str, tuple[str, ...]]]:
    """Which assets each job has to make: those that are missing, out of date or unverified, and all below them.

    An asset whose blocking check failed is made again with its check, so that a restart does not get past it.
    """
    states = {asset.name: asset for asset in assets if _is_made_at_start(asset) and not asset.is_partitioned}
    wanted: set[str] = set()
    waiting = [asset.name for asset in states.values() if asset.needs_run]
    while waiting:
        name = waiting.pop()
        if name not in wanted and name in states:
            wanted.add(name)
            waiting += states[name].downstream
    build = tuple(sorted(name for name in wanted if states[name].group != MONITORING_GROUP))
    monitoring = tuple(sorted(wanted - set(build)))
    jobs = [("data_and_model_build", build), (MONITORING_GROUP, monitoring)]
    return [(job, selected) for job, selected in jobs if selected]


def verify(client: DagsterClient) -> list[str]:
    """What is not as it should be: assets that are missing, blocking checks that failed or did not run."""
    faults = []
    for asset in client.assets():
        if _is_made_at_start(asset) and not asset.is_materialized:
            faults.append(f"{asset.name} was not materialised")
        faults += [f"{asset.name}: check {name} failed" for name in asset.failed_checks if "(blocking)" in name]
        faults += [f"{asset.name}: check {name} was not run" for name in asset.missing_checks]
    return faults


def _is_made_at_start(asset: AssetState) -> bool:
    return asset.is_materializable and asset.group != BASELINE_GROUP


def _look_at_source(build: Build) -> SensorTick:
    tick = build.client.ticks(SOURCE_SENSOR, after=build.started_at)
    return tick or _dry_run(build) or _next_tick(build)


def _dry_run(build: Build) -> SensorTick | None:
    # Only while no real look is due: two at once would both write the listing.
    recently = time.time() - build.source_interval_s + DRY_RUN_S
    if build.client.ticks(SOURCE_SENSOR, after=recently) is None:
        return None
    try:
        return build.client.dry_run(SOURCE_SENSOR)
    except StartupError:
        # Whatever was in its way, the real look will tell.
        return None


def _next_tick(build: Build) -> SensorTick:
    timeout_s = build.source_interval_s + TICK_TIMEOUT_S
    build.console.print(f"  waiting for {SOURCE_SENSOR} to look at the source, at most {timeout_s:.0f} s")
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        build.check_alive()
        tick = build.client.ticks(SOURCE_SENSOR, after=build.started_at)
        if tick is not None:
            return tick
        time.sleep(POLL_INTERVAL_S)
    raise StartupError(f"{SOURCE_SENSOR} did not look at the source within {timeout_s:.0f} s; see it in Dagit.")


def _ingest(build: Build, tick: SensorTick) -> None:
    if tick.error:
        raise StartupError(f"{SOURCE_SENSOR} failed: {tick.error}")
    followed: list[str] = []
    while waiting := _not_in(followed, [*tick.run_ids, *build.client.unfinished(INGESTION_JOB)]):
        followed.append(waiting[0])
        _follow(build, waiting[0], f"{INGESTION_JOB} {len(followed)} of {len(followed) + len(waiting) - 1}")
    if followed:
        return
    is_built = any(asset.is_partitioned and asset.is_materialized for asset in build.client.assets())
    if not is_built:
        raise StartupError(tick.skip_reason)
    build.console.print(f"  {tick.skip_reason}")


def _not_in(followed: Collection[str], run_ids: Iterable[str]) -> list[str]:
    return [run_id for run_id in dict.fromkeys(run_ids) if run_id not in followed]


def _follow(build: Build, run_id: str, title: str) -> None:
    expected = build.client.expected(run_id)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=build.console) as progress:
        task = progress.add_task(title, total=expected.steps or None, left="")
        pace, cursor, detail = StepPace(), "", ""
        while not (state := build.client.progress(run_id)).is_final:
            step = ", ".join(state.current)
            if step != pace.step:
                pace.begin(step)
                detail = ""
                _name_step(build.console, title, step)
            messages, cursor = build.client.messages(run_id, cursor)
            detail = messages[-1] if messages else detail
            left = _time_left(expected.seconds, progress.tasks[0].elapsed or 0.0) or _step_left(pace.left_s(detail))
            description = ": ".join(part for part in (title, step, detail if step else "") if part)
            progress.update(task, description=description, completed=state.done, left=left)
            build.check_alive()
            time.sleep(POLL_INTERVAL_S)
        progress.update(task, description=title, completed=state.done, left="")
    if state.status != "SUCCESS":
        raise StartupError(f"{title} ended with {state.status}:\n{build.client.failure(run_id)}")


def _name_step(console: Console, title: str, step: str) -> None:
    # Where the bar cannot move, in a file or a pipe, it is drawn only once, at the end.
    if step and not console.is_terminal:
        console.print(f"  {title}: {step}", soft_wrap=True)


def _step_left(left_s: float | None) -> str:
    return "" if left_s is None else f"{_spoken(left_s)} left in this step"


def _time_left(expected_s: float | None, elapsed_s: float) -> str:
    return "" if expected_s is None or elapsed_s >= expected_s else f"{_spoken(expected_s - elapsed_s)} left"


def _spoken(duration_s: float) -> str:
    minutes, seconds = divmod(round(duration_s), 60)
    return f"about {minutes} min {seconds:02d} s" if minutes else f"about {seconds} s"
