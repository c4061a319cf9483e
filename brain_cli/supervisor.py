"""Starts processes, waits until they answer, notices when one dies, stops them all."""

import contextlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

from brain_cli.parts import ROOT, Part
from brain_core.errors import ProcessDied, StartupError
from brain_core.settings import child_environment

LOG_LINES_SHOWN = 15
STOP_TIMEOUT_S = 20.0
POLL_INTERVAL_S = 0.25


class Supervisor:
    """Keeps a set of processes; each writes to a log file of its own.

    Args:
        log_folder: where the log files go.
        environment: variables that every process gets.
    """

    def __init__(self, log_folder: Path, environment: dict[str, str]) -> None:
        self._log_folder = log_folder
        self._environment = environment
        self._processes: dict[Part, subprocess.Popen[bytes]] = {}

    def start(self, part: Part) -> None:
        """Start one process in a session of its own, so that Ctrl-C reaches only the supervisor.

        Raises:
            StartupError: the program cannot be started.
        """
        self._log_folder.mkdir(parents=True, exist_ok=True)
        environment = child_environment(**self._environment, **part.environment)
        with self._log_path(part).open("wb") as log:
            try:
                process = subprocess.Popen(
                    part.command,
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as exc:
                raise StartupError(f"{part.name} cannot be started: {exc}. Run `make install`.") from exc
        self._processes[part] = process

    def wait_until_ready(self, timeout_s: float, on_ready: Callable[[Part], None]) -> None:
        """Wait until every process with a port answers.

        Raises:
            ProcessDied: one of them ended; with its last log lines.
            StartupError: one did not answer in time.
        """
        waiting = [part for part in self._processes if part.port is not None]
        deadline = time.monotonic() + timeout_s
        while waiting:
            self.check()
            for part in [part for part in waiting if _answers(part)]:
                waiting.remove(part)
                on_ready(part)
            if time.monotonic() > deadline:
                names = ", ".join(part.name for part in waiting)
                raise StartupError(f"Not ready after {timeout_s:.0f} s: {names}. The logs are in {self._log_folder}.")
            time.sleep(POLL_INTERVAL_S)

    def check(self) -> None:
        """Are all processes alive?

        Raises:
            ProcessDied: one ended; with its last log lines.
        """
        for part, process in self._processes.items():
            code = process.poll()
            if code is not None:
                raise ProcessDied(f"{part.name} ended with code {code}. Its last lines:\n{self._last_lines(part)}")

    def stop(self) -> None:
        """Stop every process and what it started, the newest first; kill what does not stop in time."""
        alive: list[psutil.Process] = []
        for process in reversed(self._processes.values()):
            alive.extend(_terminate_tree(process.pid))
        _, stubborn = psutil.wait_procs(alive, timeout=STOP_TIMEOUT_S)
        for survivor in stubborn:
            with contextlib.suppress(psutil.NoSuchProcess):
                survivor.kill()
        for process in self._processes.values():
            process.wait()
        self._processes.clear()

    def _log_path(self, part: Part) -> Path:
        return self._log_folder / f"{part.name}.log"

    def _last_lines(self, part: Part) -> str:
        lines = self._log_path(part).read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LOG_LINES_SHOWN:]) or "  (no output)"


def _answers(part: Part) -> bool:
    try:
        return httpx.get(part.url + part.ready_path, timeout=2.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _terminate_tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    for process in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    return tree
