"""The `brain` command."""

import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from brain_cli.bundled_command import publish_bundled
from brain_cli.data_commands import data_commands
from brain_cli.key_commands import key_commands
from brain_cli.model_commands import model_commands
from brain_cli.predict_commands import evaluate, explain, predict
from brain_cli.simulate_commands import simulate_commands
from brain_core.errors import BrainError, SettingsError
from brain_core.labels import NOTICE
from brain_core.settings import Settings, load_settings

if TYPE_CHECKING:
    from brain_cli.platform import Platform
    from brain_cli.status import PlatformStatus

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
app.add_typer(key_commands, name="keys")
app.add_typer(model_commands, name="models")
app.add_typer(simulate_commands, name="simulate")
model_commands.command("publish-bundled")(publish_bundled)
app.command()(predict)
app.command()(evaluate)
app.command()(explain)

console = Console()
WATCH_INTERVAL_S = 1.0


@app.command()
def up(
    once: Annotated[
        bool, typer.Option("--once", help="Build everything, verify it, stop; the exit code tells.")
    ] = False,
) -> None:
    """Start the whole platform, build the assets, and keep running until Ctrl-C.

    Exit codes: 0 stopped after it ran, 1 something failed, 2 a wrong setting, 130 or 143 stopped before it was ready.

    Examples:
      brain up

      brain up --once

      BRAIN_SOURCE__URI=/path/to/images brain up
    """
    from brain_cli.interrupts import StopRequested, stop_on_signals

    settings = load_settings()
    console.print(f"[bold]Brain Assets[/bold]  {NOTICE}")
    console.print(source_line(settings), soft_wrap=True, highlight=False)
    with stop_on_signals(lambda: console.print("Already stopping; this takes up to half a minute.")):
        try:
            _run(settings, once)
        except StopRequested as stop:
            console.print("Stopped before everything was ready.")
            raise typer.Exit(stop.exit_code) from stop
    console.print("Stopped.")


@app.command()
def down() -> None:
    """Stop the platform that runs on this BRAIN_HOME, also what is left of one that was killed; wait until it ended.

    Examples:
      brain down

      BRAIN_HOME=/path/to/home brain down
    """
    from brain_cli.stopping import stop_platform

    home = load_settings().home_path
    stopped = stop_platform(home, console.print)
    console.print(f"Stopped: {', '.join(stopped)}." if stopped else f"Nothing runs on {home}.", soft_wrap=True)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Tell what runs on this BRAIN_HOME: each part, its process, address, readiness; and which model predicts.

    Exit codes: 0 a platform runs, 3 none does.

    Examples:
      brain status

      brain status --json
    """
    from brain_cli.status import look

    found = look(load_settings())
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        _show(found)
    raise typer.Exit(found.exit_code)


@app.command()
def doctor() -> None:
    """Tell versions, what is reachable and what is missing, with what to do about it; starts and changes nothing.

    Exit codes: 0 all that must be there is there, 1 something is missing.

    Examples:
      brain doctor

      BRAIN_SOURCE__URI=gs://bucket/images brain doctor
    """
    from brain_cli.doctor import examine

    findings = examine(load_settings())
    table = Table("part", "state", "detail")
    colours = {"ok": "green", "off": "yellow", "missing": "red"}
    for finding in findings:
        table.add_row(finding.name, f"[{colours[finding.state]}]{finding.state}[/]", escape(finding.detail))
    console.print(table)
    raise typer.Exit(1 if any(finding.state == "missing" for finding in findings) else 0)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of BRAIN_SERVING__HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port, instead of BRAIN_SERVING__PORT.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes, instead of BRAIN_SERVING__WORKERS.")] = None,
) -> None:
    """Run the prediction API alone; it needs BRAIN_DATABASE__URL. Stopped, it finishes what it has accepted.

    An address that others can reach needs an API key first (`brain keys create`).

    Exit codes: 0 stopped, 1 a setting is wrong, or there is no API key for this address.

    Examples:
      BRAIN_DATABASE__URL=postgresql://user:password@host/brain brain serve

      brain serve --workers 4 --port 8080
    """
    from serving.main import main as serve_main

    given = {"host": host, "port": port, "workers": workers}
    serve_main(serving={name: value for name, value in given.items() if value is not None})


@app.command()
def dashboard(
    address: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 only inside a container.")] = "127.0.0.1",
) -> None:
    """Run the pages alone; they find the API at BRAIN_DASHBOARD__API_URL.

    Example:
      BRAIN_DASHBOARD__API_URL=http://127.0.0.1:8000 brain dashboard
    """
    from brain_cli.parts import dashboard_command

    raise typer.Exit(subprocess.call(dashboard_command(load_settings().dashboard.port, address)))


@app.command()
def ship() -> None:
    """Deliver the log spool to Elasticsearch until stopped; it needs BRAIN_LOGS__ELASTICSEARCH_URL.

    Example:
      BRAIN_LOGS__ELASTICSEARCH_URL=http://127.0.0.1:9200 brain ship
    """
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
    """Bring the tables to the newest version; safe to repeat.

    Example:
      BRAIN_DATABASE__URL=postgresql://user:password@host/brain brain db upgrade
    """
    from brain_core.database import upgrade_database

    upgrade_database(load_settings().database_url)
    console.print("The tables are up to date.")


@elastic_commands.command("setup")
def elastic_setup() -> None:
    """Install the index template in Elasticsearch; safe to repeat.

    Example:
      BRAIN_LOGS__ELASTICSEARCH_URL=http://127.0.0.1:9200 brain elk setup
    """
    from brain_cli.parts import ROOT
    from brain_core.elasticsearch_setup import open_client, set_up

    set_up(open_client(load_settings()), ROOT / "elk")
    console.print("The index template is installed.")


def source_line(settings: Settings) -> str:
    """What the model will be made from."""
    uri = settings.source.uri
    return "Source: the synthetic sample, drawn slices and no patients" if uri == "sample" else f"Source: {escape(uri)}"


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


def _run(settings: Settings, once: bool) -> None:
    from brain_cli.build import Build, build_everything, verify
    from brain_cli.dagster_client import DagsterClient
    from brain_cli.platform import running_platform
    from brain_core.storage import open_bucket

    with running_platform(settings, lambda message: console.print(f"  {message}")) as platform:
        client = DagsterClient(f"http://127.0.0.1:{settings.dagster.port}", open_bucket(settings.bucket_uri))
        check_alive, interval_s = platform.supervisor.check, settings.source.sensor_interval_s
        # What ran before the daemon, such as one that was left over, knew other settings.
        since = {part.name: part.process.created_at for part in platform.supervisor.records()}
        build_everything(Build(client, console, check_alive, since["dagster-daemon"], interval_s))
        faults = verify(client)
        for fault in faults:
            console.print(f"[red]{fault}[/red]")
        if once:
            raise typer.Exit(1 if faults else 0)
        _watch(platform)


def _watch(platform: "Platform") -> None:
    from brain_cli.interrupts import StopRequested

    table = Table("open", "address", title="Running. Ctrl-C stops everything.")
    for part in platform.parts:
        if part.title:
            table.add_row(part.title, part.url)
    try:
        console.print(table)
        while True:
            platform.supervisor.check()
            time.sleep(WATCH_INTERVAL_S)
    except StopRequested as stop:
        stop.heard()
        console.print("Stopping…")


def _show(found: "PlatformStatus") -> None:
    model = f"Model: {found.champion}" if found.champion else "No model was published yet."
    if found.state == "stopped":
        console.print(f"Nothing runs on {found.home}. {model}", soft_wrap=True)
        if found.leftovers:
            console.print(f"A killed platform left {len(found.leftovers)} processes. `brain down` stops them.")
        return
    table = Table("part", "state", "process", "address", "since (UTC)")
    for part in found.parts:
        state = "[green]ready[/]" if part.is_ready else "[yellow]not ready[/]" if part.is_alive else "[red]ended[/]"
        table.add_row(part.name, state, str(part.pid), part.url, _time(part.since))
    console.print(f"{found.home}: {found.state}, process {found.pid}, since {_time(found.since or 0)}", soft_wrap=True)
    console.print(table)
    console.print(model)


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


if __name__ == "__main__":
    main()
