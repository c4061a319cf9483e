"""Materialises the asset graph as Dagster runs, with progress in the terminal, and verifies the result."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from brain_cli.dagster_client import DagsterClient
from brain_core.errors import StartupError

BUILD_JOBS = ("data_and_model_build", "monitoring")
POLL_INTERVAL_S = 0.5


def build_everything(client: DagsterClient, console: Console, check_alive: Callable[[], None]) -> None:
    """Run the build and then the monitoring, and show each step.

    Args:
        client: of the Dagster that runs.
        console: where progress is shown.
        check_alive: called now and then; raises when a process of the platform died.

    Raises:
        StartupError: a run failed; the message names the step and the reason.
    """
    client.wait_for_code()
    for job in BUILD_JOBS:
        run_id = client.launch(job)
        _follow(client, console, run_id, job, check_alive)


def verify(client: DagsterClient) -> list[str]:
    """What is not as it should be: assets that are missing, blocking checks that failed or did not run."""
    faults = []
    for asset in client.assets():
        if not asset.is_materialized:
            faults.append(f"{asset.name} was not materialised")
        faults += [f"{asset.name}: check {name} failed" for name in asset.failed_checks if "(blocking)" in name]
        faults += [f"{asset.name}: check {name} was not run" for name in asset.missing_checks]
    return faults


def _follow(client: DagsterClient, console: Console, run_id: str, job: str, check_alive: Callable[[], None]) -> None:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(job, total=None)
        while not (state := client.progress(run_id)).is_final:
            description = f"{job}: {', '.join(state.current)}" if state.current else job
            progress.update(task, description=description, completed=state.done, total=state.total or None)
            check_alive()
            time.sleep(POLL_INTERVAL_S)
        progress.update(task, description=job, completed=state.done, total=state.total)
    if state.status != "SUCCESS":
        raise StartupError(f"{job} ended with {state.status}:\n{client.failure(run_id)}")
