"""`brain status`: what runs on a BRAIN_HOME, found out by looking at it."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from brain_cli.embedded_postgres import leftover_server
from brain_cli.processes import marked_processes
from brain_cli.record import PartRecord, Phase, read_record
from brain_cli.supervisor import answers
from brain_core.bundle import read_champion
from brain_core.errors import BrainError
from brain_core.settings import Settings
from brain_core.storage import open_bucket

RUNNING, NOT_RUNNING = 0, 3
"""Exit codes, as service scripts have them."""


class PartStatus(BaseModel):
    """How one part is.

    Attributes:
        name: of the part.
        pid: its process.
        url: its address; empty when it listens nowhere.
        is_alive: the process runs.
        is_ready: it answers now, or was ready once when it listens nowhere.
        since: when it was started, seconds since 1970.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    pid: int
    url: str
    is_alive: bool
    is_ready: bool
    since: float


class PlatformStatus(BaseModel):
    """How the platform on a BRAIN_HOME is.

    Attributes:
        home: the folder.
        state: `stopped`, or what the platform does.
        pid: the process of `brain up`; None when stopped.
        since: when it was started, seconds since 1970; None when stopped.
        parts: its processes; none when stopped.
        champion: version of the model that predicts; empty when there is none.
        leftovers: processes that a killed platform left running.
    """

    model_config = ConfigDict(frozen=True)

    home: Path
    state: Literal[Phase, "stopped"]
    pid: int | None = None
    since: float | None = None
    parts: tuple[PartStatus, ...] = ()
    champion: str = ""
    leftovers: tuple[int, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 when a platform runs, 3 when none does."""
        return NOT_RUNNING if self.state == "stopped" else RUNNING


def look(settings: Settings) -> PlatformStatus:
    """Find out what runs on the BRAIN_HOME of the settings; changes nothing."""
    home = settings.home_path
    record = read_record(home)
    if record is None or record.supervisor.find() is None:
        return PlatformStatus(home=home, state="stopped", champion=_champion(settings), leftovers=_leftovers(home))
    return PlatformStatus(
        home=home,
        state=record.phase,
        pid=record.supervisor.pid,
        since=record.supervisor.created_at,
        parts=tuple(_part(part) for part in record.parts),
        champion=_champion(settings),
    )


def _part(part: PartRecord) -> PartStatus:
    is_alive = part.process.find() is not None
    is_ready = answers(part.ready_url) if part.ready_url else part.ready_at is not None
    return PartStatus(
        name=part.name,
        pid=part.process.pid,
        url=part.url,
        is_alive=is_alive,
        is_ready=is_alive and is_ready,
        since=part.process.created_at,
    )


def _leftovers(home: Path) -> tuple[int, ...]:
    server = leftover_server(home / "postgres")
    return tuple(process.pid for process in marked_processes(home)) + ((server.pid,) if server else ())


def _champion(settings: Settings) -> str:
    try:
        return read_champion(open_bucket(settings.bucket_uri)).version
    except BrainError:
        return ""
