"""The processes that make up the platform, as data."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from brain_core.settings import Settings, sqlalchemy_url

ROOT = Path(__file__).resolve().parent.parent
"""The folder of `workspace.yaml`, `dashboard` and `elk`."""

LOOPBACK = "127.0.0.1"

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
        title: how it is announced to the user; empty when there is nothing to open.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    port: int | None = None
    port_setting: str = ""
    ready_path: str = "/"
    title: str = ""

    @property
    def url(self) -> str:
        """Address of the process."""
        return f"http://{LOOPBACK}:{self.port}"


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
        "PYTHONUNBUFFERED": "1",
    }


def platform_parts(settings: Settings, mlflow_database_url: str) -> list[Part]:
    """All processes, in the order in which they start."""
    parts = [
        _mlflow(settings, mlflow_database_url),
        _dagit(settings),
        Part("dagster-daemon", (_script("dagster-daemon"), "run", "-w", str(ROOT / "workspace.yaml"))),
        _serving(settings),
        _dashboard(settings),
    ]
    if settings.logs.elasticsearch_url:
        parts.append(Part("shipper", (_script("brain"), "ship")))
    return parts


def dashboard_command(port: int, address: str = LOOPBACK) -> tuple[str, ...]:
    """Start Streamlit on the pages."""
    page = str(ROOT / "dashboard" / "app.py")
    options = {"port": str(port), "address": address, "headless": "true"}
    flags = [f"--server.{name}={value}" for name, value in options.items()]
    return (sys.executable, "-m", "streamlit", "run", page, *flags, "--browser.gatherUsageStats=false")


def _mlflow(settings: Settings, database_url: str) -> Part:
    artifacts = str(settings.home_path / "mlflow")
    command = (sys.executable, "-m", "mlflow", "server", "--host", LOOPBACK, "--port", str(settings.mlflow.port))
    environment = {
        # In the environment, not among the arguments: a process list shows those to everyone.
        "MLFLOW_BACKEND_STORE_URI": database_url,
        "MLFLOW_ARTIFACTS_DESTINATION": artifacts,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    workers = ("--workers", "1")
    return Part(
        "mlflow", command + workers, environment, settings.mlflow.port, "BRAIN_MLFLOW__PORT", "/health", "MLflow"
    )


def _dagit(settings: Settings) -> Part:
    port = settings.dagster.port
    workspace = str(ROOT / "workspace.yaml")
    command = (_script("dagster-webserver"), "-h", LOOPBACK, "-p", str(port), "-w", workspace)
    return Part(
        "dagster-webserver",
        command,
        port=port,
        port_setting="BRAIN_DAGSTER__PORT",
        ready_path="/server_info",
        title="Dagit",
    )


def _serving(settings: Settings) -> Part:
    command = (sys.executable, "-m", "serving.main")
    port = settings.serving.port
    return Part(
        "serving", command, port=port, port_setting="BRAIN_SERVING__PORT", ready_path="/livez", title="Prediction API"
    )


def _dashboard(settings: Settings) -> Part:
    port = settings.dashboard.port
    return Part(
        "dashboard",
        dashboard_command(port),
        port=port,
        port_setting="BRAIN_DASHBOARD__PORT",
        ready_path="/_stcore/health",
        title="Dashboard",
    )


def _script(name: str) -> str:
    return str(Path(sys.executable).parent / name)
