"""`brain up` with everything real but the parts and the build: those are a few lines each and start in seconds.

    python -m tests.stand_in_platform NAME brain-arguments…

NAME says what is done: see `PARTS` and `BUILDS`.
"""

import sys
import time
from collections.abc import Callable

import brain_cli.build
import brain_cli.dagster_client
import brain_cli.platform
from brain_cli.build import Build
from brain_cli.main import main
from brain_cli.parts import Part
from brain_cli.supervisor import Supervisor
from brain_core.settings import Settings

WORKER = "import time; print('at work', flush=True); time.sleep(600)"
FAMILY = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WORKER!r}]); {WORKER}"
DYING = "import time; time.sleep(1.5); print('the disk is full'); raise SystemExit(7)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WORKER}"


def python(name: str, code: str, ready_line: str = "at work") -> Part:
    return Part(name, (sys.executable, "-c", code), ready_line=ready_line)


PARTS: dict[str, list[Part]] = {
    "calm": [python("dagster-daemon", FAMILY)],
    "building": [python("dagster-daemon", FAMILY)],
    "dying": [python("dagster-daemon", DYING, ready_line="")],
    "silent": [python("dagster-daemon", WORKER, ready_line="never said")],
    "deaf": [python("dagster-daemon", DEAF)],
}


def web(settings: Settings) -> Part:
    port = settings.dagster.port
    command = (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", "/")
    return Part("dagster-webserver", command, port=port, port_setting="BRAIN_DAGSTER__PORT", title="Dagit")


def build(until: float) -> Callable[[Build], None]:
    def work(build: Build) -> None:
        build.console.print("building…")
        deadline = time.monotonic() + until
        while time.monotonic() < deadline:
            build.check_alive()
            time.sleep(0.1)

    return work


BUILDS = {"building": build(600)}


if __name__ == "__main__":
    name = sys.argv.pop(1)
    brain_cli.platform.platform_parts = lambda settings, _url: [web(settings), *PARTS[name]]  # type: ignore[assignment]
    Supervisor.stop.__defaults__ = (4.0,)
    brain_cli.platform.READY_TIMEOUT_S = 3.0 if name == "silent" else 60.0
    brain_cli.build.build_everything = BUILDS.get(name, build(0))
    brain_cli.build.verify = lambda _client: []
    main()
