"""A real SMTP server is sent alerts: encrypted, signed in, threaded, and failing in every way that servers do."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_memory import make_transition
from evalsvc.errors import NotifierRefused, NotifierUnavailable
from evalsvc.notify import EmailConfig, Message, message_of
from evalsvc.notify.mail import EmailNotifier, mail_of
from evalsvc.rules.machine import Example
from servers.mail import PASSWORD, USER, MailServer, server_context

pytestmark = pytest.mark.skipif(
    not (shutil.which("keytool") and shutil.which("openssl")), reason="keytool and openssl make the certificate"
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory):
    """What the server shows, and the file that a client has to trust."""
    return server_context(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as running:
        yield running


def config(server: MailServer, **options) -> EmailConfig:
    known = {"host": server.host, "port": server.port, "security": "none", "timeout_seconds": 10.0}
    people = {"sender": "evalsvc@example.com", "to": ("oncall@example.com", "lead@example.com")}
    return EmailConfig(**{**known, **people, **options})


def message(after: str = "firing", **options) -> Message:
    known = {
        "annotations": {"summary": "31% refused in de", "impact": "many"},
        "runbook": "https://wiki/refusals",
        "examples": (Example("e1", 0.25),),
    }
    told = make_transition(1, after, **{**known, **options})
    return message_of(told, "https://evalsvc.example.com", lambda ids: dict.fromkeys(ids, "Call <b>NAME</b> & co"))


def test_a_mail_arrives_with_text_and_page(server: MailServer) -> None:
    assert EmailNotifier(config(server)).send(message()) == "taken"
    (mail,) = server.mails
    assert (mail.sender, mail.recipients) == ("evalsvc@example.com", ("oncall@example.com", "lead@example.com"))
    headers = mail.message
    assert headers["Subject"] == "[page] A1: 31% refused in de"
    assert headers["To"] == "oncall@example.com, lead@example.com"
    assert headers["Date"] == "Thu, 01 Jan 2026 00:01:00 +0000"
    plain, page = (part.get_content() for part in headers.iter_parts())
    for text in ("Alert 1 is firing.", "impact: many", "https://evalsvc.example.com/alerts/f1", "language = de"):
        assert text in plain
    assert "Example e1, score 0.25: Call <b>NAME</b> & co" in plain
    assert "Call &lt;b&gt;NAME&lt;/b&gt; &amp; co" in page
    assert '<a href="https://wiki/refusals">Runbook</a>' in page


def test_the_end_is_a_reply_to_the_beginning(server: MailServer) -> None:
    notifier = EmailNotifier(config(server))
    notifier.send(message())
    notifier.send(message("resolved"))
    first, second = (mail.message for mail in server.mails)
    assert first["Message-ID"] == f"<{make_transition(1).id}@example.com>"
    assert second["In-Reply-To"] == second["References"] == first["Message-ID"]
    assert first["In-Reply-To"] is None
    assert second["Subject"] == "[over] A1: 31% refused in de"


@given(st.text(max_size=300), st.text(alphabet="a\r\n:\x00\u2028\u0085 ", max_size=60))
def test_no_label_can_make_a_header(text: str, breaks: str) -> None:
    settings = EmailConfig(host="h", sender="evalsvc@example.com", to=("oncall@example.com",))
    bad = f"x{breaks}\r\nBcc: evil@example.com\r\n\r\n{text}"
    labels = {"alertname": bad, "severity": "page", "a": text}
    mail = mail_of(message(annotations={"summary": bad}, labels=labels, description=bad, runbook=bad), settings)
    raw = mail.as_bytes()
    head = raw.partition(b"\r\n\r\n")[0]
    assert b"\nBcc" not in head
    assert mail["Bcc"] is None
    assert mail.get_all("To") == ["oncall@example.com"]


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "tls"])
def test_mail_is_encrypted_and_signed_in(certificate, implicit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    context, authority = certificate
    security = "tls" if implicit else "starttls"
    with MailServer(certificate=context, implicit=implicit, account=True) as server:
        options = {"security": security, "user": USER, "host": "localhost"}
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        with pytest.raises(NotifierUnavailable, match=r"connection failed \(SSLCertVerificationError\)"):
            EmailNotifier(config(server, **options), PASSWORD).send(message())
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        assert EmailNotifier(config(server, **options), PASSWORD).send(message()) == "taken"
        assert server.mails[0].encrypted
        # A password may be mended; then the mail is taken.
        with pytest.raises(NotifierUnavailable, match=r"SMTP 535 \(SMTPAuthenticationError\)") as caught:
            EmailNotifier(config(server, **options), "wrong-word").send(message())
        assert "wrong-word" not in str(caught.value)
        with pytest.raises(NotifierRefused, match="SMTP 530"):
            EmailNotifier(config(server, **{**options, "user": ""})).send(message())
    assert len(server.mails) == 1


def test_a_certificate_for_another_name_is_refused(certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    context, authority = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with (
        MailServer(certificate=context, host="127.0.0.2") as server,
        pytest.raises(NotifierUnavailable, match="SSLCertVerificationError"),
    ):
        EmailNotifier(config(server, security="starttls")).send(message())


def test_nothing_is_sent_in_the_clear_where_starttls_was_asked_for(server: MailServer) -> None:
    with pytest.raises(NotifierUnavailable, match="SMTPNotSupportedError"):
        EmailNotifier(config(server, security="starttls")).send(message())
    assert server.mails == []


@pytest.mark.parametrize(
    ("replies", "error", "shown"),
    [
        ({"DATA": "451 later"}, NotifierUnavailable, r"SMTP 451 \(SMTPDataError\)"),
        ({"DATA": "554 no"}, NotifierRefused, r"SMTP 554 \(SMTPDataError\)"),
        (dict.fromkeys(["oncall@example.com", "lead@example.com"], "550 unknown"), NotifierRefused, "SMTP 550"),
        ({"oncall@example.com": "450 busy", "lead@example.com": "450 busy"}, NotifierUnavailable, "SMTP 450"),
        ({"oncall@example.com": "450 busy", "lead@example.com": "550 unknown"}, NotifierUnavailable, "SMTP 450"),
    ],
)
def test_codes_say_whether_it_is_for_good(server: MailServer, replies, error, shown) -> None:
    server.replies.update(replies)
    with pytest.raises(error, match=shown):
        EmailNotifier(config(server)).send(message())
    assert server.mails == []


def test_one_address_of_two_is_told_and_the_other_noted(server: MailServer) -> None:
    server.replies["lead@example.com"] = "550 unknown"
    assert EmailNotifier(config(server)).send(message()) == "taken, but refused for 1 of 2 addresses"
    assert server.mails[0].recipients == ("oncall@example.com",)


def test_nobody_listening_is_unavailable(server: MailServer) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(NotifierUnavailable, match="ConnectionRefusedError"):
        EmailNotifier(config(server, port=port)).send(message())


@pytest.mark.parametrize("greeting", [b"", b"2", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 " + b"x" * 20_000])
def test_a_server_that_is_none_is_unavailable_in_time(greeting: bytes) -> None:
    """Silent, one letter at a time, another protocol, endless."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    connection.sendall(greeting)
                    while len(greeting) == 1 and not done.wait(0.05):
                        connection.sendall(greeting)
                    done.wait(5.0)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        settings = EmailConfig(
            host="127.0.0.1",
            port=listener.getsockname()[1],
            security="none",
            sender="a@example.com",
            to=("b@example.com",),
            timeout_seconds=0.5,
        )
        start = time.monotonic()
        with pytest.raises(NotifierUnavailable):
            EmailNotifier(settings).send(message())
        assert time.monotonic() - start < 3.0
        done.set()
        thread.join(5.0)
