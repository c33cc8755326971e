"""A real SMTP server on loopback, for tests: plain, with STARTTLS or TLS, with one account, failing as it is told."""

from __future__ import annotations

import asyncio
import gc
import ssl
import subprocess
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from servers import certificates
from servers.kafka_broker import free_port

USER, PASSWORD = "evalsvc", "only-for-tests"
"""The one account."""


@dataclass(frozen=True)
class Mail:
    """What came: the envelope, and the message."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    raw: bytes
    encrypted: bool


class MailServer:
    """A server at `host` and `port`; `mails` holds what it took. It answers with `replies`, by command, once each.

    Args:
        certificate: makes it offer STARTTLS, or with `implicit` speak TLS from the start.
        implicit: see there.
        account: whether only `USER` may send.
    """

    def __init__(
        self,
        *,
        certificate: ssl.SSLContext | None = None,
        implicit: bool = False,
        account: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self.mails: list[Mail] = []
        self._implicit = implicit
        self.replies: dict[str, str] = {}
        self.host, self.port = host, free_port()
        context: Mapping[str, Any] = {"tls_context": certificate} if certificate and not implicit else {}
        self._controller = Controller(
            self,
            hostname=host,
            port=self.port,
            ready_timeout=20.0,
            ssl_context=certificate if implicit else None,
            auth_required=account,
            authenticator=self._authenticated,
            auth_require_tls=bool(certificate) and not implicit,
            **context,
        )

    def __enter__(self) -> MailServer:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Connections whose clients have left are closed by the loop, if it is given the time; what is left of them goes
        # here, and not in whatever test runs when the garbage is collected.
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.1), self._controller.loop).result(10.0)
        self._controller.stop()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    async def handle_RCPT(self, _: object, __: object, envelope: Any, address: str, ___: object) -> str:
        """Takes an address, or answers as it was told to for it."""
        if reply := self.replies.pop(address, ""):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: object, session: Any, envelope: Any) -> str:
        """Takes a mail, or answers as it was told to."""
        if reply := self.replies.pop("DATA", ""):
            return reply
        raw = bytes(envelope.content)
        message = message_from_bytes(raw, policy=modern)
        encrypted = self._implicit or session.ssl is not None
        self.mails.append(Mail(envelope.mail_from, tuple(envelope.rcpt_tos), message, raw, encrypted))
        return "250 taken"

    def _authenticated(self, _: object, __: object, ___: object, ____: str, data: object) -> AuthResult:
        known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        # Not handled: the server answers by itself.
        return AuthResult(success=known, handled=False)


def server_context(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Makes a certificate for localhost in a folder; returns what a server needs, and the file that clients trust.

    Raises:
        subprocess.CalledProcessError: keytool or openssl refused.
    """
    store, authority, key = folder / "server.p12", folder / "authority.pem", folder / "server.pem"
    certificates.make(store, authority, PASSWORD)
    command = ["openssl", "pkcs12", "-in", str(store), "-nodes", "-passin", f"pass:{PASSWORD}", "-out", str(key)]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(key)
    return context, authority
