"""E-mails of the platform: through an SMTP server, or as `.eml` files where there is none."""

import os
import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid, parseaddr
from pathlib import Path
from typing import Protocol

import uuid6

from brain_core.errors import DeliveryError
from brain_core.labels import NOTICE
from brain_core.setting_groups import MailSettings
from brain_core.settings import Settings

TIMEOUT_S = 30
IMPLICIT_TLS_PORT = 465
"""Where the connection is encrypted from the start (RFC 8314); on every other port STARTTLS is asked for."""


class Mailer(Protocol):
    """Sends plain text to the receivers that the settings name; the notice stands under every text."""

    def send(self, subject: str, text: str) -> None:
        """Send one e-mail.

        Raises:
            DeliveryError: it could not be handed over, or not for every receiver.
        """


class SmtpMailer:
    """Hands e-mails to an SMTP server, encrypted and with a login where the settings say so."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    def send(self, subject: str, text: str) -> None:
        """Send one e-mail; see `Mailer.send`."""
        message = _compose(self._settings, subject, text)
        server = f"{self._settings.smtp_host}:{self._settings.smtp_port}"
        try:
            refused = self._hand_over(message)
        except (smtplib.SMTPException, OSError, UnicodeError) as exc:
            # Of a user or password that is not ASCII the library can make nothing.
            raise DeliveryError(f"The mail server {server} did not take {subject!r}: {exc}.") from exc
        if refused:
            raise DeliveryError(f"The mail server {server} refused these receivers of {subject!r}: {sorted(refused)}.")

    def _hand_over(self, message: EmailMessage) -> dict[str, tuple[int, bytes]]:
        settings = self._settings
        is_encrypted = settings.smtp_tls and settings.smtp_port == IMPLICIT_TLS_PORT
        with self._connected(is_encrypted) as smtp:
            if settings.smtp_tls and not is_encrypted:
                smtp.starttls(context=ssl.create_default_context())
            if settings.smtp_user is not None and settings.smtp_password is not None:
                smtp.login(settings.smtp_user, settings.smtp_password.get_secret_value())
            return smtp.send_message(message)

    def _connected(self, is_encrypted: bool) -> smtplib.SMTP:
        host, port = self._settings.smtp_host or "", self._settings.smtp_port
        if is_encrypted:
            return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=ssl.create_default_context())
        return smtplib.SMTP(host, port, timeout=TIMEOUT_S)


class OutboxMailer:
    """Writes each e-mail as a file of its own; mail programs open them."""

    def __init__(self, settings: MailSettings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder

    def send(self, subject: str, text: str) -> None:
        """Write one e-mail; see `Mailer.send`."""
        name = str(uuid6.uuid7())
        part = self._folder / f".{name}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(_compose(self._settings, subject, text).as_bytes(policy=SMTP))
            os.replace(part, self._folder / f"{name}.eml")
        except OSError as exc:
            raise DeliveryError(f"The outbox {self._folder} cannot be written: {exc.strerror}.") from exc


def open_mailer(settings: Settings) -> Mailer:
    """SMTP when a server is set, else the outbox."""
    if settings.mail.smtp_host:
        return SmtpMailer(settings.mail)
    return OutboxMailer(settings.mail, settings.outbox_path)


def _compose(settings: MailSettings, subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    # A line break would end the header, and let a file name add headers of its own.
    message["Subject"] = " ".join(subject.split())
    message["From"] = settings.sender
    message["To"] = ", ".join(settings.recipients)
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain=parseaddr(settings.sender)[1].rpartition("@")[2])
    message.set_content(f"{text.rstrip()}\n\n{NOTICE}\n")
    return message
