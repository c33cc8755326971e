"""E-mail, by SMTP (RFC 5321): text with an HTML alternative; an alert's end is a reply to its beginning (RFC 5322)."""

from __future__ import annotations

import html
import smtplib
import socket
import ssl
import threading
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from queue import Empty, SimpleQueue

from evalsvc.errors import NotifierError, NotifierRefused, NotifierUnavailable
from evalsvc.notify.message import Message, one_line
from evalsvc.notify.values import EmailConfig

_WHAT = "e-mail"


class EmailNotifier:
    """Sends mail. Mail servers know no ids: after a crash between two steps it comes twice, with one Message-ID."""

    def __init__(self, config: EmailConfig, password: str = "") -> None:
        self._config, self._password = config, password

    def __repr__(self) -> str:
        """Show no password."""
        return f"EmailNotifier({self._config.host!r})"

    def send(self, message: Message) -> str:
        """Send one mail to all addresses.

        Within the time-out as a whole: a socket's own bounds each read and not their sum. What is late is cut off and
        its thread left to end by itself.
        """
        exchange = _Exchange(self._config, self._password, mail_of(message, self._config))
        threading.Thread(target=exchange.run, name="evalsvc-mail", daemon=True).start()
        try:
            result = exchange.result.get(timeout=self._config.timeout_seconds)
        except Empty:
            exchange.cut_off()
            raise NotifierUnavailable(f"{_WHAT}: no answer in time") from None
        if isinstance(result, NotifierError):
            raise result
        return result


class _Exchange:
    def __init__(self, config: EmailConfig, password: str, mail: EmailMessage) -> None:
        self.result: SimpleQueue[str | NotifierError] = SimpleQueue()
        self._config, self._password, self._mail = config, password, mail
        self._server: smtplib.SMTP | None = None
        self._late = False

    def run(self) -> None:
        """Do it, and put what came of it into ``result``: always one thing."""
        try:
            self.result.put(self._send())
            # Taken is taken, however slowly the server says goodbye.
            if self._server is not None:
                with suppress(smtplib.SMTPException, OSError):
                    self._server.quit()
        # Errors become their kind and code: a server's words may quote the mail, and an exception's the password.
        except smtplib.SMTPRecipientsRefused as error:
            # Where one of them may be taken later, it is tried again.
            self.result.put(_refusal(min(code for code, _ in error.recipients.values()), "of every address"))
        except smtplib.SMTPResponseException as error:
            # Before there is a message to refuse, or in no SMTP at all, nothing is refused for good.
            early = not isinstance(error, (smtplib.SMTPDataError, smtplib.SMTPSenderRefused))
            self.result.put(_refusal(error.smtp_code, type(error).__name__, final=not early))
        except Exception as error:
            self.result.put(NotifierUnavailable(f"{_WHAT}: connection failed ({type(error).__name__})"))
        finally:
            if self._server is not None:
                self._server.close()

    def cut_off(self) -> None:
        """End a conversation that hangs."""
        self._late = True
        sock = self._server.sock if self._server else None
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _send(self) -> str:
        config = self._config
        self._server = server = _client(config)
        server.connect(config.host, config.port)
        if config.security == "starttls":
            # Without it nothing is sent: STARTTLS that is not offered may have been taken out on the way.
            server.starttls(context=ssl.create_default_context())
        if config.user:
            server.login(config.user, self._password)
        if self._late:
            raise TimeoutError
        refused = server.send_message(self._mail, config.sender, list(config.to))
        return f"taken, but refused for {len(refused)} of {len(config.to)} addresses" if refused else "taken"


def _client(config: EmailConfig) -> smtplib.SMTP:
    if config.security == "tls":
        client: smtplib.SMTP = smtplib.SMTP_SSL(timeout=config.timeout_seconds, context=ssl.create_default_context())
    else:
        client = smtplib.SMTP(timeout=config.timeout_seconds)
    # What a certificate is checked against. smtplib sets it in its constructor alone, where it also connects: then
    # nobody could cut off a server that never ends its greeting.
    vars(client)["_host"] = config.host
    return client


def _refusal(code: int, what: str, *, final: bool = True) -> NotifierError:
    """Return what a reply means: 4yz may pass, 5yz does not (RFC 5321, 4.2.1)."""
    told = f"{_WHAT}: SMTP {code} ({what})"
    return NotifierRefused(told) if final and 500 <= code < 600 else NotifierUnavailable(told)


def mail_of(message: Message, config: EmailConfig) -> EmailMessage:
    """Return the mail. No header holds a line break, whatever labels and annotations hold."""
    mail = EmailMessage(policy=SMTP)
    domain = config.sender.rpartition("@")[2].rstrip(">") or "evalsvc.invalid"
    mail["From"], mail["To"] = config.sender, ", ".join(config.to)
    mail["Subject"] = one_line(message.title.encode("utf-8", "replace").decode())
    mail["Date"] = format_datetime(message.transition.at)
    mail["Message-ID"] = f"<{message.id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Evalsvc-Fingerprint"] = message.dedupe_key
    if message.resolved:
        mail["In-Reply-To"] = mail["References"] = f"<{message.firing_id}@{domain}>"
    mail.set_content(_plain(message).encode("utf-8", "replace").decode())
    mail.add_alternative(_page(message).encode("utf-8", "replace").decode(), subtype="html")
    return mail


def _plain(message: Message) -> str:
    parts = [message.summary, message.text]
    parts += [f"{name}: {one_line(value)}" for name, value in message.notes]
    for e in message.examples:
        parts.append(f"Example {one_line(e.event_id)}, score {e.value:g}{f': {e.text}' if e.text else ''}")
    parts += [f"{name}: {address}" for name, address in _links(message)]
    parts.append("\n".join(f"  {name} = {value}" for name, value in sorted(message.transition.labels.items())))
    return "\n\n".join(part for part in parts if part)


def _page(message: Message) -> str:
    shown = [f"<h2>{html.escape(message.title)}</h2>", f"<p>{html.escape(message.text)}</p>"]
    shown += [f"<p><b>{html.escape(name)}</b>: {html.escape(value)}</p>" for name, value in message.notes]
    for e in message.examples:
        text = f"<blockquote>{html.escape(e.text)}</blockquote>" if e.text else ""
        shown.append(f"<p>Example <code>{html.escape(e.event_id)}</code>, score {e.value:g}</p>{text}")
    for name, address in _links(message):
        web = address.startswith(("http://", "https://"))
        link = f'<a href="{html.escape(address)}">{name}</a>' if web else f"{name}: {html.escape(address)}"
        shown.append(f"<p>{link}</p>")
    rows = (
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
        for name, value in sorted(message.transition.labels.items())
    )
    return f"<!doctype html><html><body>{''.join(shown)}<table>{''.join(rows)}</table></body></html>"


def _links(message: Message) -> list[tuple[str, str]]:
    links = [("The alert's page", message.link), ("Runbook", message.transition.runbook)]
    return [(name, address) for name, address in links if address]
