"""Elasticsearch for the logs: the connection, and the index template that gives the data streams their shape."""

import json
from pathlib import Path
from typing import Any

from elasticsearch import ApiError, Elasticsearch, TransportError

from brain_core.errors import DeliveryError, SettingsError
from brain_core.settings import Settings

TEMPLATE_NAME = "logs-brain"
TEMPLATE_FILE = "index-template.json"
REQUEST_TIMEOUT_S = 30


def open_client(settings: Settings) -> Elasticsearch:
    """A client for the Elasticsearch that the settings name; nothing is sent yet.

    Raises:
        SettingsError: the address is missing or is none.
    """
    logs = settings.logs
    if logs.elasticsearch_url is None:
        raise SettingsError("BRAIN_LOGS__ELASTICSEARCH_URL is not set. Set it to the address of an Elasticsearch.")
    password = logs.elasticsearch_password
    login = (logs.elasticsearch_user, password.get_secret_value()) if password else None
    try:
        return Elasticsearch(logs.elasticsearch_url, basic_auth=login, request_timeout=REQUEST_TIMEOUT_S)
    except ValueError as exc:
        raise SettingsError(f"BRAIN_LOGS__ELASTICSEARCH_URL: {exc}.") from exc


def set_up(client: Elasticsearch, folder: Path) -> None:
    """Install the index template of `folder` (`elk/`); safe to repeat.

    Data streams that exist keep their mapping until they roll over.

    Raises:
        SettingsError: the folder has no such template.
        DeliveryError: Elasticsearch is away or refused it.
    """
    template = _read_template(folder / TEMPLATE_FILE)
    try:
        client.indices.put_index_template(name=TEMPLATE_NAME, **template)
    except (ApiError, TransportError) as exc:
        raise DeliveryError(f"Elasticsearch did not take the index template: {exc}.") from exc


def _read_template(path: Path) -> dict[str, Any]:
    try:
        template: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise SettingsError(
            f"{path} is not a readable index template: {exc}. Name the repository's `elk` folder."
        ) from exc
    return template
