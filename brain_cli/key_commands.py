"""`brain keys …`: who may use the prediction API, and for what."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
import uuid6
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from brain_core.errors import SettingsError
from brain_core.settings import Settings, load_settings

if TYPE_CHECKING:
    from brain_core.keys import ApiKey, KeyStore

key_commands = typer.Typer(help="API keys: who may use the prediction API, and for what.", no_args_is_help=True)
console = Console()
notes = Console(stderr=True)

DASHBOARD = "dashboard"
_STATE_COLOURS = {"active": "green", "expired": "yellow", "revoked": "red"}

Scopes = Annotated[
    list[str], typer.Option("--scope", help="predict, feedback, read or admin (all of them); may be repeated.")
]
Name = Annotated[str, typer.Argument(help="For people; each name may be used once. Default: one is made.")]
Rate = Annotated[int | None, typer.Option(min=1, help="Requests a minute. Default: BRAIN_SERVING__RATE_PER_MINUTE.")]
Days = Annotated[int | None, typer.Option("--expires-days", min=1, help="Days until it is refused. Default: never.")]
OfDashboard = Annotated[
    bool, typer.Option("--of-dashboard", help="Store the key in BRAIN_DASHBOARD__API_KEY instead of making one.")
]


@key_commands.command("create")
def create(
    scope: Scopes,
    name: Name = "",
    rate_per_minute: Rate = None,
    expires_days: Days = None,
    of_dashboard: OfDashboard = False,
) -> None:
    """Make a key and print it, this once: only its hash is stored. It is sent in the header `X-API-Key`.

    Needs BRAIN_DATABASE__URL, or a platform that runs on this BRAIN_HOME. With --of-dashboard it is safe to repeat.

    Exit codes: 0 made, 1 the name is taken or the database is away, 2 wrong use.

    Examples:
      brain keys create --scope predict --scope feedback --scope read

      brain keys create nightly-job --scope predict --expires-days 90 --rate-per-minute 60

      BRAIN_DASHBOARD__API_KEY=… brain keys create --of-dashboard --scope admin
    """
    from brain_core.keys import KeyGrant, scopes_of

    try:
        scopes = scopes_of(scope)
    except ValueError as exc:
        raise typer.BadParameter("the scopes are predict, feedback, read and admin", param_hint="--scope") from exc
    settings = load_settings()
    expires_at = datetime.now(UTC) + timedelta(days=expires_days) if expires_days else None
    if of_dashboard:
        secret = _dashboard_secret(settings)
        with _keys(settings) as keys:
            keys.ensure(KeyGrant(name or DASHBOARD, scopes, rate_per_minute, expires_at), secret)
        console.print("The pages' key is good.")
        return
    with _keys(settings) as keys:
        grant = KeyGrant(name or f"key-{uuid6.uuid7().hex[-8:]}", scopes, rate_per_minute, expires_at)
        key, secret = keys.create(grant)
    notes.print(f"Key {key.name!r}; it is not shown again:", highlight=False)
    typer.echo(secret)


@key_commands.command("list")
def list_keys() -> None:
    """List every key that was ever made, the newest first, without the secrets.

    Exit codes: 0 told, 1 the database is away.

    Example:
      brain keys list
    """
    with _keys(load_settings()) as keys:
        found = keys.all()
    if not found:
        console.print("There is no key. `brain keys create --scope predict` makes one.")
        return
    table = Table("name", "scopes", "state", "a minute", "made (UTC)", "expires (UTC)")
    for key in found:
        table.add_row(*_row(key))
    console.print(table)


@key_commands.command("revoke")
def revoke(name: Annotated[str, typer.Argument(help="As `brain keys list` shows it.")]) -> None:
    """Refuse a key from now on; servers follow within BRAIN_SERVING__KEY_CACHE_S seconds.

    Exit codes: 0 revoked, also when it was before; 1 there is no such key, or the database is away.

    Example:
      brain keys revoke nightly-job
    """
    with _keys(load_settings()) as keys:
        key = keys.revoke(name)
    console.print(f"The key {key.name!r} is revoked.", highlight=False, markup=False)


@contextmanager
def _keys(settings: Settings) -> "Iterator[KeyStore]":
    from brain_core.database import open_engine
    from brain_core.keys import KeyStore

    engine = open_engine(_with_database(settings).database_url, pool_size=1)
    try:
        yield KeyStore(engine)
    finally:
        engine.dispose()


def _with_database(settings: Settings) -> Settings:
    if settings.database.url is not None:
        return settings
    # An image that only serves has no embedded parts, and needs none.
    from brain_cli.addresses import running_settings

    return running_settings(settings)


def _dashboard_secret(settings: Settings) -> str:
    if settings.dashboard.api_key is None:
        raise SettingsError("BRAIN_DASHBOARD__API_KEY is not set. Set it to a random text of 32 characters or more.")
    return settings.dashboard.api_key.get_secret_value()


def _row(key: "ApiKey") -> list[str]:
    state = key.state(datetime.now(UTC))
    return [
        escape(key.name),
        " ".join(sorted(key.scopes)),
        f"[{_STATE_COLOURS[state]}]{state}[/]",
        str(key.rate_per_minute or "usual"),
        f"{key.created_at:%Y-%m-%d %H:%M}",
        f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "never",
    ]
