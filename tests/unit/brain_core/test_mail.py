import email
import email.policy
import re
import socket
import ssl
import subprocess

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import AuthResult

from brain_core.errors import DeliveryError
from brain_core.labels import NOTICE
from brain_core.mail import OutboxMailer, SmtpMailer, open_mailer
from brain_core.settings import Settings

RECIPIENTS = ("a@example.org", "b@example.org")


class Inbox(Message):
    def __init__(self, refused=()):
        super().__init__()
        self.messages = []
        self.refused = refused

    def handle_message(self, message):
        self.messages.append(message)

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address in self.refused:
            return "550 unknown here"
        envelope.rcpt_tos.append(address)
        return "250 OK"


def login(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"user", b"secret"), handled=False)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def smtp():
    """Starts real SMTP servers; stops them at the end."""
    running = []

    def start(handler, **options):
        controller = Controller(handler, hostname="127.0.0.1", port=free_port(), **options)
        controller.start()
        running.append(controller)
        return controller.port

    yield start
    for controller in running:
        controller.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    key, chain = folder / "key.pem", folder / "chain.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(chain)]
    subprocess.run(command, check=True, capture_output=True)
    return key, chain


def settings(tmp_path, **mail):
    return Settings(home=tmp_path, mail={"sender": "brain@example.org", "recipients": RECIPIENTS, **mail})


def plain(tmp_path, port):
    return open_mailer(settings(tmp_path, smtp_host="127.0.0.1", smtp_port=port, smtp_tls=False))


def test_smtp_server_receives_text_with_the_notice(smtp, tmp_path):
    inbox = Inbox()
    plain(tmp_path, smtp(inbox)).send("Training ended", "All checks passed: überall.")
    [message] = inbox.messages
    assert message["Subject"] == "Training ended"
    assert message["X-RcptTo"] == "a@example.org, b@example.org"
    text = message.get_payload(decode=True).decode()
    assert text.splitlines() == ["All checks passed: überall.", "", NOTICE]


def test_starttls_and_login_are_used(smtp, tmp_path, certificate, monkeypatch):
    key, chain = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    inbox = Inbox()
    port = smtp(inbox, tls_context=context, require_starttls=True, auth_required=True, authenticator=login)
    options = {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_user": "user"}
    open_mailer(settings(tmp_path, **options, smtp_password="secret")).send("Hello", "text")
    assert len(inbox.messages) == 1
    with pytest.raises(DeliveryError, match="535"):
        open_mailer(settings(tmp_path, **options, smtp_password="wrong")).send("Hello", "text")


def test_untrusted_certificate_is_refused(smtp, tmp_path, certificate):
    key, chain = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    port = smtp(Inbox(), tls_context=context)
    with pytest.raises(DeliveryError, match="certificate"):
        open_mailer(settings(tmp_path, smtp_host="127.0.0.1", smtp_port=port)).send("Hello", "text")


def test_on_the_port_for_it_the_connection_is_encrypted_from_the_start(smtp, tmp_path, certificate, monkeypatch):
    key, chain = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    inbox = Inbox()
    port = smtp(inbox, ssl_context=context)
    monkeypatch.setattr("brain_core.mail.IMPLICIT_TLS_PORT", port)
    open_mailer(settings(tmp_path, smtp_host="127.0.0.1", smtp_port=port)).send("Hello", "text")
    assert len(inbox.messages) == 1


def test_a_password_that_is_not_ascii_is_a_delivery_error_that_does_not_tell_it(smtp, tmp_path):
    port = smtp(Inbox(), auth_required=True, auth_require_tls=False, authenticator=login)
    options = {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_tls": False, "smtp_user": "user"}
    with pytest.raises(DeliveryError, match="did not take 'Hello'") as caught:
        open_mailer(settings(tmp_path, **options, smtp_password="geheim-ü")).send("Hello", "text")
    assert "geheim" not in str(caught.value)


def test_a_sender_may_have_a_name(tmp_path):
    open_mailer(settings(tmp_path, sender="Brain Assets <brain@example.org>")).send("Hello", "text")
    [file] = (tmp_path / "outbox").iterdir()
    message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert message["Message-ID"].endswith("@example.org>")


def test_server_without_starttls_gets_nothing(smtp, tmp_path):
    inbox = Inbox()
    with pytest.raises(DeliveryError, match="STARTTLS"):
        open_mailer(settings(tmp_path, smtp_host="127.0.0.1", smtp_port=smtp(inbox))).send("Hello", "text")
    assert inbox.messages == []


def test_refused_receiver_is_named(smtp, tmp_path):
    with pytest.raises(DeliveryError, match=r"b@example\.org"):
        plain(tmp_path, smtp(Inbox(refused={"b@example.org"}))).send("Hello", "text")


def test_server_away_is_a_delivery_error(tmp_path):
    with pytest.raises(DeliveryError, match="did not take 'Hello'"):
        plain(tmp_path, free_port()).send("Hello", "text")


def test_without_a_server_mails_are_files(tmp_path):
    mailer = open_mailer(settings(tmp_path))
    mailer.send("First", "text")
    mailer.send("Second", "text")
    files = sorted((tmp_path / "outbox").iterdir())
    assert all(re.fullmatch(r"[0-9a-f-]{36}\.eml", file.name) for file in files)
    messages = [email.message_from_bytes(file.read_bytes(), policy=email.policy.default) for file in files]
    assert [message["Subject"] for message in messages] == ["First", "Second"]
    assert [address.addr_spec for address in messages[0]["To"].addresses] == list(RECIPIENTS)
    assert messages[0]["Date"].datetime.utcoffset().total_seconds() == 0
    assert messages[0].get_content().rstrip().endswith(NOTICE)


def test_subject_cannot_add_headers(tmp_path):
    open_mailer(settings(tmp_path)).send("Hello\nBcc: thief@example.org", "text")
    [file] = (tmp_path / "outbox").iterdir()
    message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert message["Bcc"] is None
    assert message["Subject"] == "Hello Bcc: thief@example.org"


def test_outbox_that_cannot_be_written_is_a_delivery_error(tmp_path):
    (tmp_path / "outbox").write_text("a file in the way")
    with pytest.raises(DeliveryError, match="outbox"):
        open_mailer(settings(tmp_path)).send("Hello", "text")


def test_a_host_chooses_smtp(tmp_path):
    assert isinstance(open_mailer(settings(tmp_path, smtp_host="mail.example.org")), SmtpMailer)
    assert isinstance(open_mailer(settings(tmp_path)), OutboxMailer)
