"""The processes that make up the platform, as data."""

import hashlib
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from brain_core.settings import Settings, sqlalchemy_url

ROOT = Path(__file__).resolve().parent.parent
"""The folder of `workspace.yaml`, `dashboard` and `elk`."""

LOOPBACK = "127.0.0.1"

RUN_MARK = "BRAINASSETS_RUN_OF"
"""Variable that every process of a platform, and whatever it starts, carries: the folder that the platform runs on."""

DAGSTER_YAML = """\
# Written by `brain up` at every start.
storage:
  postgres:
    postgres_url:
      env: BRAIN_DATABASE__DAGSTER_URL
compute_logs:
  module: dagster.core.storage.local_compute_log_manager
  class: LocalComputeLogManager
  config:
    base_dir: {compute_logs}
concurrency:
  runs:
    max_concurrent_runs: 1
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config:
    # Dagster's own five seconds would be felt in every short run.
    dequeue_interval_seconds: 1
run_monitoring:
  enabled: true
  start_timeout_seconds: 300
retention:
  sensor:
    purge_after_days: 7
  schedule:
    purge_after_days: 30
telemetry:
  enabled: false
nux:
  enabled: false
"""

WORKSPACE_YAML = """\
# Written by `brain up` at every start: the web server and the daemon share one process that loads the assets.
load_from:
  - grpc_server:
      socket: {socket}
      location_name: brain_assets
"""

_AFTER_CODE = ("dagster-code",)
"""Dagit and the daemon need the process that loads the assets; the pages let it have the processor first."""

_SOCKET_PATH_LENGTH = 100
"""Unix allows little more for the path of a socket."""


@dataclass(frozen=True, eq=False)
class Part:
    """One process of the platform.

    Attributes:
        name: what it is called in messages; also its log file's name.
        command: program and arguments.
        environment: variables beside those of the supervisor.
        port: where it listens; None for a process that listens nowhere.
        port_setting: the setting that names the port.
        ready_path: path that answers 200 as soon as it is ready.
        ready_line: text in the log of a process without a port as soon as it is ready; empty: at once.
        after: names of the parts that must be ready before it is started.
        title: how it is announced to the user; empty when there is nothing to open.
        outcome: what is true, in words, as soon as a process has ended well that does one thing; empty: it runs on.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    port: int | None = None
    port_setting: str = ""
    ready_path: str = "/"
    ready_line: str = ""
    after: tuple[str, ...] = ()
    title: str = ""
    outcome: str = ""

    @property
    def ends(self) -> bool:
        """Does it one thing and ends, instead of running on?"""
        return bool(self.outcome)

    @property
    def url(self) -> str:
        """Address of the process."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def ready_url(self) -> str:
        """Address that answers 200 as soon as the process is ready."""
        return self.url + self.ready_path


def platform_environment(settings: Settings, database_urls: dict[str, str]) -> dict[str, str]:
    """What every part is told beyond the user's own settings: where the embedded parts are."""
    return {
        **settings.as_environment(),
        "BRAIN_HOME": str(settings.home_path),
        "BRAIN_DATABASE__URL": database_urls["brain"],
        "BRAIN_DATABASE__MLFLOW_URL": database_urls["mlflow"],
        # Dagster hands it to SQLAlchemy as it is.
        "BRAIN_DATABASE__DAGSTER_URL": sqlalchemy_url(database_urls["dagster"]),
        "BRAIN_MLFLOW__URI": f"http://{LOOPBACK}:{settings.mlflow.port}",
        "BRAIN_DAGSTER__URL": f"http://{LOOPBACK}:{settings.dagster.port}",
        "BRAIN_DASHBOARD__API_URL": f"http://{LOOPBACK}:{settings.serving.port}",
        "DAGSTER_HOME": str(settings.home_path / "dagster"),
        RUN_MARK: str(settings.home_path),
        "PYTHONUNBUFFERED": "1",
    }


def platform_parts(settings: Settings, mlflow_database_url: str) -> list[Part]:
    """All processes, in the order in which they start."""
    parts = [
        _code_server(settings),
        _mlflow(settings, mlflow_database_url),
        _dagit(settings),
        _daemon(settings),
        _serving(settings),
        _dashboard(settings),
    ]
    if settings.logs.elasticsearch_url:
        parts.append(Part("shipper", (_script("brain"), "ship")))
    return parts


def bundled_model_part() -> Part:
    """The process that publishes the model that comes with the package, beside the start of the others."""
    command = (_script("brain"), "models", "publish-bundled")
    return Part("bundled-model", command, after=("mlflow",), outcome="There is a champion; `brain status` names it")


def code_socket(home: Path) -> Path:
    """Where the process that loads the assets listens: in `home`, or in a short folder when that path is too long."""
    path = home / "dagster" / "code.sock"
    if len(str(path).encode()) <= _SOCKET_PATH_LENGTH:
        return path
    name = hashlib.sha256(str(home).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"brain-{name}" / "code.sock"


def dagster_workspace(home: Path) -> Path:
    """The file that tells the web server and the daemon where the assets are."""
    return home / "dagster" / "workspace.yaml"


def dashboard_command(port: int, address: str = LOOPBACK) -> tuple[str, ...]:
    """Start Streamlit on the pages."""
    page = str(ROOT / "dashboard" / "app.py")
    options = {"port": str(port), "address": address, "headless": "true"}
    flags = [f"--server.{name}={value}" for name, value in options.items()]
    # A session's images are one object that its runs change: two runs at once, Streamlit's default, would race for it.
    flags += ["--runner.fastReruns=false", "--browser.gatherUsageStats=false"]
    return (sys.executable, "-m", "streamlit", "run", page, *flags)


def _code_server(settings: Settings) -> Part:
    command = (sys.executable, "-m", "dagster", "api", "grpc", "--use-python-environment-entry-point")
    target = ("--module-name", "brain_assets.definitions", "--location-name", "brain_assets")
    socket = ("--socket", str(code_socket(settings.home_path)))
    return Part("dagster-code", command + socket + target, ready_line="Started Dagster code server")


def _mlflow(settings: Settings, database_url: str) -> Part:
    port = settings.mlflow.port
    environment = {
        # In the environment, not among the arguments: a process list shows those to everyone.
        "_MLFLOW_SERVER_FILE_STORE": database_url,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(settings.home_path / "mlflow"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = (sys.executable, "-m", "brain_cli.mlflow_server", LOOPBACK, str(port))
    return Part(
        "mlflow",
        command,
        environment,
        port=port,
        port_setting="BRAIN_MLFLOW__PORT",
        ready_path="/health",
        title="MLflow",
    )


def _dagit(settings: Settings) -> Part:
    port = settings.dagster.port
    workspace = str(dagster_workspace(settings.home_path))
    command = (_script("dagster-webserver"), "-h", LOOPBACK, "-p", str(port), "-w", workspace)
    return Part(
        "dagster-webserver",
        command,
        port=port,
        port_setting="BRAIN_DAGSTER__PORT",
        ready_path="/server_info",
        after=_AFTER_CODE,
        title="Dagit",
    )


def _daemon(settings: Settings) -> Part:
    command = (_script("dagster-daemon"), "run", "-w", str(dagster_workspace(settings.home_path)))
    line = "Instance is configured with the following daemons"
    return Part("dagster-daemon", command, ready_line=line, after=_AFTER_CODE)


def _serving(settings: Settings) -> Part:
    command = (sys.executable, "-m", "serving.main")
    port = settings.serving.port
    return Part(
        "serving",
        command,
        port=port,
        port_setting="BRAIN_SERVING__PORT",
        ready_path="/livez",
        after=_AFTER_CODE,
        title="Prediction API",
    )


def _dashboard(settings: Settings) -> Part:
    port = settings.dashboard.port
    return Part(
        "dashboard",
        dashboard_command(port),
        port=port,
        port_setting="BRAIN_DASHBOARD__PORT",
        ready_path="/_stcore/health",
        after=_AFTER_CODE,
        title="Dashboard",
    )


def _script(name: str) -> str:
    return str(Path(sys.executable).parent / name)
