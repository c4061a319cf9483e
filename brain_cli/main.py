"""The `brain` command."""

import signal
import subprocess
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from brain_cli.data_commands import data_commands
from brain_core.errors import BrainError, SettingsError
from brain_core.labels import NOTICE
from brain_core.settings import load_settings

if TYPE_CHECKING:
    from brain_cli.platform import Platform

app = typer.Typer(
    help=f"Brain Assets: classify brain MRI slices and run the whole life of the model. {NOTICE}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
database_commands = typer.Typer(help="The product's tables.", no_args_is_help=True)
elastic_commands = typer.Typer(help="Elasticsearch and Kibana.", no_args_is_help=True)
app.add_typer(database_commands, name="db")
app.add_typer(elastic_commands, name="elk")
app.add_typer(data_commands, name="data")

console = Console()
WATCH_INTERVAL_S = 1.0


@app.command()
def up(
    once: Annotated[
        bool, typer.Option("--once", help="Build everything, verify it, stop; the exit code tells.")
    ] = False,
) -> None:
    """Start the whole platform, build the assets, and keep running until Ctrl-C."""
    from brain_cli.build import Build, build_everything, verify
    from brain_cli.dagster_client import DagsterClient
    from brain_cli.platform import running_platform

    settings = load_settings()
    started_at = time.time()
    signal.signal(signal.SIGTERM, _as_interrupt)
    console.print(f"[bold]Brain Assets[/bold]  {NOTICE}")
    with running_platform(settings, lambda message: console.print(f"  {message}")) as platform:
        client = DagsterClient(f"http://127.0.0.1:{settings.dagster.port}")
        check_alive, interval_s = platform.supervisor.check, settings.source.sensor_interval_s
        build_everything(Build(client, console, check_alive, started_at, interval_s))
        faults = verify(client)
        for fault in faults:
            console.print(f"[red]{fault}[/red]")
        if once:
            raise typer.Exit(1 if faults else 0)
        _watch(platform)
    console.print("Stopped.")


@app.command()
def doctor() -> None:
    """Tell versions, what is reachable and what is missing."""
    from brain_cli.doctor import examine

    findings = examine(load_settings())
    table = Table("part", "state", "detail")
    colours = {"ok": "green", "off": "yellow", "missing": "red"}
    for finding in findings:
        table.add_row(finding.name, f"[{colours[finding.state]}]{finding.state}[/]", finding.detail)
    console.print(table)
    raise typer.Exit(1 if any(finding.state == "missing" for finding in findings) else 0)


@app.command()
def serve() -> None:
    """Run the prediction API alone."""
    from serving.main import main as serve_main

    serve_main()


@app.command()
def dashboard(
    address: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 only inside a container.")] = "127.0.0.1",
) -> None:
    """Run the pages alone."""
    from brain_cli.parts import dashboard_command

    raise typer.Exit(subprocess.call(dashboard_command(load_settings().dashboard.port, address)))


@app.command()
def ship() -> None:
    """Deliver the log spool to Elasticsearch until stopped."""
    from brain_core.events import configure_logging
    from brain_core.shipping import Shipper

    settings = load_settings()
    configure_logging(settings, "shipper")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Shipper(settings).run(stop)


@database_commands.command("upgrade")
def database_upgrade() -> None:
    """Bring the tables to the newest version."""
    from brain_core.database import upgrade_database

    upgrade_database(load_settings().database_url)
    console.print("The tables are up to date.")


@elastic_commands.command("setup")
def elastic_setup() -> None:
    """Install the index template in Elasticsearch; safe to repeat."""
    from brain_cli.parts import ROOT
    from brain_core.elasticsearch_setup import open_client, set_up

    set_up(open_client(load_settings()), ROOT / "elk")
    console.print("The index template is installed.")


def main() -> NoReturn:
    """Run the command; an error of ours is a sentence on standard error and exit code 1 (settings: 2)."""
    try:
        app()
    except BrainError as exc:
        _fail(str(exc), 2 if isinstance(exc, SettingsError) else 1)
    sys.exit(0)


def _fail(message: str, code: int) -> NoReturn:
    Console(stderr=True).print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


def _as_interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _watch(platform: "Platform") -> None:
    table = Table("open", "address", title="Running. Ctrl-C stops everything.")
    for part in platform.parts:
        if part.title:
            table.add_row(part.title, part.url)
    console.print(table)
    try:
        while True:
            platform.supervisor.check()
            time.sleep(WATCH_INTERVAL_S)
    except KeyboardInterrupt:
        console.print("Stopping…")


if __name__ == "__main__":
    main()
