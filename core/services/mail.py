"""Mail by SMTP, or written to the log where no SMTP_URL is set."""

import logging
import smtplib
import ssl
import sys
import threading
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Protocol
from urllib.parse import unquote, urlsplit

from core.config import Settings

log = logging.getLogger(__name__)

_TIMEOUT = 10.0
_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}


class MailFailed(Exception):
    """A mail could not be handed to the server; the text says why, for the operator."""


class Sender(Protocol):
    """Whatever sends mail: SMTP in the background, the console, or a test's box."""

    def send(self, *, to: str, subject: str, text: str) -> None:
        """Send a plain text. Raises MailFailed where the failure is known at once."""


def make_mailer(settings: Settings) -> Sender:
    """The sender that the settings ask for."""
    sender = make_waiting_mailer(settings)
    return BackgroundMailer(sender) if isinstance(sender, SmtpMailer) else sender


def make_waiting_mailer(settings: Settings) -> "SmtpMailer | ConsoleMailer":
    """The same, for workers, who wait for the server to know whether it took the mail."""
    if not settings.smtp_url:
        return ConsoleMailer(settings.mail_from)
    return SmtpMailer(settings.smtp_url, settings.mail_from)


class SmtpMailer:
    """Hands each mail to the server at `smtp_url` and waits for its answer, ten seconds at most for each step."""

    def __init__(self, smtp_url: str, mail_from: str) -> None:
        self._url = urlsplit(smtp_url)
        self._from = mail_from

    def send(self, *, to: str, subject: str, text: str) -> None:
        """Raises MailFailed when the server refuses or does not answer."""
        message = make_message(sender=self._from, to=to, subject=subject, text=text)
        try:
            with self._connected() as server:
                if self._url.username:
                    server.login(unquote(self._url.username), unquote(self._url.password or ""))
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise MailFailed(f"{self._url.hostname} did not take the mail: {error}") from error

    def _connected(self) -> smtplib.SMTP:
        host = self._url.hostname or "localhost"
        port = self._url.port or _PORTS[self._url.scheme]
        if self._url.scheme == "smtps":
            return smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT, context=ssl.create_default_context())
        server = smtplib.SMTP(host, port, timeout=_TIMEOUT)
        if self._url.scheme == "smtp+starttls":
            try:
                server.starttls(context=ssl.create_default_context())
            except BaseException:
                server.close()
                raise
        return server


class BackgroundMailer:
    """Sends from a thread of its own: a page neither waits for the server nor shows by its time who has an account.
    A failure is logged."""

    def __init__(self, inner: SmtpMailer) -> None:
        self._inner = inner

    def send(self, *, to: str, subject: str, text: str) -> None:
        """Return at once."""
        threading.Thread(target=self._send, args=(to, subject, text), name="mail").start()

    def _send(self, to: str, subject: str, text: str) -> None:
        try:
            self._inner.send(to=to, subject=subject, text=text)
        except MailFailed as error:
            log.error("mail_failed reason=%s", error)


class ConsoleMailer:
    """Writes each mail to standard output, so that a trial without a mail server shows what would be sent."""

    def __init__(self, mail_from: str) -> None:
        self._from = mail_from

    def send(self, *, to: str, subject: str, text: str) -> None:
        """Raises MailFailed for an address that is none."""
        message = make_message(sender=self._from, to=to, subject=subject, text=text)
        lines = ["", "---- mail (SMTP_URL is not set, so it is shown here) ----"]
        lines += [f"{name}: {message[name]}" for name in ("From", "To", "Subject")]
        sys.stdout.write(
            "\n".join([*lines, "", message.get_content().rstrip(), "---- end of mail ----", "", ""])
        )
        sys.stdout.flush()


def make_message(*, sender: str, to: str, subject: str, text: str) -> EmailMessage:
    """A plain text mail. Raises MailFailed when a header would break out of its line or an address is none."""
    if any(ord(char) < 32 or ord(char) == 127 for char in sender + to + subject):
        raise MailFailed("a header of the mail has a line break or control character")
    message = EmailMessage()
    try:
        message["From"] = sender
        message["To"] = to
        message["Subject"] = subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].strip("<> ") or "localhost")
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
    except (ValueError, IndexError, MessageError) as error:
        raise MailFailed(f"the mail can not be written: {error}") from error
    return message
