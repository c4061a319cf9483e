"""Starts processes in their order, waits until they answer, notices when one dies, stops them all."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from brain_cli import processes
from brain_cli.interrupts import held_back
from brain_cli.part_logs import PartLog
from brain_cli.parts import LOOPBACK, ROOT, Part
from brain_cli.processes import ProcessId
from brain_cli.record import PartRecord
from brain_core.errors import PortTaken, ProcessDied, StartupError
from brain_core.settings import child_environment

POLL_INTERVAL_S = 0.25


@dataclass
class _Running:
    part: Part
    process: "subprocess.Popen[bytes]"
    log: PartLog
    id: ProcessId | None
    ready_at: float | None = None


class Supervisor:
    """Keeps a set of processes; each writes to a log file of its own.

    Args:
        log_folder: where the log files go.
        environment: variables that every process gets.
    """

    def __init__(self, log_folder: Path, environment: dict[str, str]) -> None:
        self._log_folder = log_folder
        self._environment = environment
        self._running: dict[str, _Running] = {}
        self._guests: list[tuple[PartRecord, PartLog]] = []

    def start(self, part: Part) -> None:
        """Start one process in a session of its own, so that Ctrl-C reaches only the supervisor.

        Raises:
            StartupError: the program cannot be started, or its log cannot be written.
        """
        log = PartLog(self._log_folder / f"{part.name}.log")
        environment = child_environment(**self._environment, **part.environment)
        with held_back():
            try:
                with log.open() as output:
                    process = subprocess.Popen(
                        part.command,
                        cwd=ROOT,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        env=environment,
                        start_new_session=True,
                    )
            except OSError as exc:
                raise StartupError(f"{part.name} cannot be started: {exc}. Run `make install`.") from exc
            self._running[part.name] = _Running(part, process, log, ProcessId.of(process.pid))

    def watch(self, guest: PartRecord, log: Path) -> None:
        """Look after a process that someone else started and stops; its death is noticed like that of a part."""
        self._guests.append((guest, PartLog(log)))

    def start_in_order(self, parts: Sequence[Part], timeout_s: float, on_change: Callable[[Part | None], None]) -> None:
        """Start each part as soon as those before it are ready, and wait until all are.

        Args:
            parts: what to start.
            timeout_s: for all together.
            on_change: told each part that became ready, and None when some were started.

        Raises:
            ProcessDied: one of them ended; with its last log lines.
            PortTaken: one of them ended because someone else took its port.
            StartupError: one did not answer in time, or cannot be started.
        """
        waiting = list(parts)
        deadline = time.monotonic() + timeout_s
        while waiting or self._unready():
            startable = [part for part in waiting if self._are_ready(part.after)]
            for part in startable:
                self.start(part)
                waiting.remove(part)
            if startable:
                on_change(None)
            self.check()
            for running in self._unready():
                if _is_ready(running):
                    running.ready_at = time.time()
                    on_change(running.part)
            if time.monotonic() > deadline and self._unready():
                raise self._not_ready(timeout_s)
            time.sleep(POLL_INTERVAL_S)

    def wait_until_ready(self, timeout_s: float, on_ready: Callable[[Part], None]) -> None:
        """Wait until every process that was started answers.

        Raises:
            ProcessDied: one of them ended; with its last log lines.
            PortTaken: one of them ended because someone else took its port.
            StartupError: one did not answer in time.
        """
        self.start_in_order((), timeout_s, lambda part: on_ready(part) if part else None)

    def check(self) -> None:
        """Are all processes alive, but for those that did what they had to? Also keeps their logs within bounds.

        Raises:
            ProcessDied: one ended; with its last log lines.
            PortTaken: one ended because someone else took its port.
        """
        for running in self._running.values():
            code = running.process.poll()
            if code is not None and not _has_done(running):
                raise _death(running, code)
            running.log.bound()
        for guest, log in self._guests:
            if guest.process.find() is None:
                raise ProcessDied(f"{guest.name} ended. Its last lines:\n{log.last_lines()}")
            log.bound()

    def records(self) -> tuple[PartRecord, ...]:
        """What runs now."""
        guests = tuple(guest for guest, _ in self._guests)
        ours = (running for running in self._running.values() if not _has_done(running))
        return guests + tuple(_record(running, running.id) for running in ours if running.id)

    def stop(self, timeout_s: float = processes.STOP_TIMEOUT_S) -> None:
        """Stop every process and what it started, the newest first; kill what does not stop in time."""
        with held_back():
            alive: list[psutil.Process] = []
            # By now the number of a process that ended may be that of a stranger.
            ours = [running for running in self._running.values() if running.process.poll() is None]
            for running in reversed(ours):
                with contextlib.suppress(psutil.Error):
                    alive += processes.tree_of(psutil.Process(running.process.pid))
            processes.stop_processes(alive, timeout_s)
            for running in self._running.values():
                running.process.wait()
            self._running.clear()
            self._guests.clear()

    def _unready(self) -> list[_Running]:
        return [running for running in self._running.values() if running.ready_at is None]

    def _are_ready(self, names: Sequence[str]) -> bool:
        known = (self._running.get(name) for name in names)
        return all(running is not None and running.ready_at is not None for running in known)

    def _not_ready(self, timeout_s: float) -> StartupError:
        unready = self._unready()
        names = ", ".join(running.part.name for running in unready)
        lines = "\n".join(f"{running.part.name}:\n{running.log.last_lines()}" for running in unready)
        folder = self._log_folder
        return StartupError(
            f"Not ready after {timeout_s:.0f} s: {names}. The logs are in {folder}. Last lines:\n{lines}"
        )


def is_free(port: int) -> bool:
    """Can a server listen on this loopback port?"""
    with socket.socket() as probe:
        # As servers do; otherwise connections of a server that just ended would count as "in use".
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def port_taken(part: Part) -> PortTaken:
    """The error that says which setting moves a part to another port."""
    return PortTaken(
        f"Port {part.port} for {part.name} is in use. Stop what uses it, or set {part.port_setting} to a free port."
    )


def answers(url: str) -> bool:
    """Does a server answer there, and with a success?"""
    try:
        return httpx.get(url, timeout=2.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _death(running: _Running, code: int) -> ProcessDied | PortTaken:
    part = running.part
    if running.ready_at is None and part.port is not None and not is_free(part.port):
        return port_taken(part)
    how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    return ProcessDied(f"{part.name} {how}. Its last lines:\n{running.log.last_lines()}")


def _has_done(running: _Running) -> bool:
    return running.part.ends and running.process.poll() == 0


def _is_ready(running: _Running) -> bool:
    part = running.part
    if part.ends:
        return _has_done(running)
    if part.port is None:
        return running.log.holds(part.ready_line)
    # The cheapest question first: asking costs the processor time that the parts need to start.
    return _is_open(part.port) and answers(part.ready_url) and _listens(running.process.pid, part.port)


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def _listens(pid: int, port: int) -> bool:
    """Is it this process or one that it started, and not a stranger, that listens on the port?"""
    try:
        tree = processes.tree_of(psutil.Process(pid))
        connections = [connection for process in tree for connection in process.net_connections("tcp")]
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False
    return any(entry.status == psutil.CONN_LISTEN and entry.laddr.port == port for entry in connections)


def _record(running: _Running, process: ProcessId) -> PartRecord:
    part = running.part
    has_address = part.port is not None
    return PartRecord(
        name=part.name,
        process=process,
        title=part.title,
        url=part.url if has_address else "",
        ready_url=part.ready_url if has_address else "",
        ready_at=running.ready_at,
    )
