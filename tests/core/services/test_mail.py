"""Mail: what goes over the wire to a small SMTP server, and what a header may not hold."""

import logging
import socketserver
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy

import pytest

from core.config import Settings
from core.services.mail import BackgroundMailer, ConsoleMailer, MailFailed, SmtpMailer, make_mailer


class _Server(socketserver.ThreadingTCPServer):
    """Takes mails, or refuses every recipient."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mails: list[bytes] = []
        self.lines: list[bytes] = []
        self.refuses = False
        self.arrived = threading.Event()


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline():
            server.lines.append(line)
            word = line[:4].upper()
            if word == b"EHLO":
                self.wfile.write(b"250-test\r\n250 AUTH PLAIN\r\n")
            elif word == b"RCPT" and server.refuses:
                self.wfile.write(b"550 nobody here\r\n")
            elif word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                body = b""
                while not body.endswith(b"\r\n.\r\n"):
                    body += self.rfile.readline()
                server.mails.append(body)
                self.wfile.write(b"250 kept\r\n")
                server.arrived.set()
            elif word == b"AUTH":
                self.wfile.write(b"235 fine\r\n")
            elif word == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 fine\r\n")


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def url_of(server: _Server, login: str = "") -> str:
    return f"smtp://{login}127.0.0.1:{server.server_address[1]}"


def test_it_hands_a_mail_to_the_server(server: _Server) -> None:
    mailer = SmtpMailer(url_of(server, "ana%40example.com:p%3Aw@"), "Rastro <rastro@example.com>")
    mailer.send(to="bia@example.com", subject="Olá, é você?", text="Linha 1\n.\nLinha 3 é última\n")
    message = message_from_bytes(server.mails[0], policy=policy.default)
    assert (message["From"], message["To"]) == ("Rastro <rastro@example.com>", "bia@example.com")
    assert message["Subject"] == "Olá, é você?"
    assert "Linha 3 é última" in message.get_content()  # type: ignore[attr-defined]
    assert any(line.startswith(b"AUTH PLAIN") for line in server.lines)


@pytest.mark.parametrize(
    ("to", "subject"),
    [
        ("a@x.com\r\nBcc: b@x.com", "Hi"),
        ("a@x.com", "Hi\nBcc: b@x.com"),
        ("a@x.com", "Hi\x00"),
        ("a@x.com\x7f", "Hi"),
    ],
)
def test_it_lets_no_header_break_out(server: _Server, to: str, subject: str) -> None:
    with pytest.raises(MailFailed):
        SmtpMailer(url_of(server), "r@example.com").send(to=to, subject=subject, text="x")
    assert server.mails == [] and server.lines == []


def test_it_says_why_a_mail_failed(server: _Server) -> None:
    server.refuses = True
    with pytest.raises(MailFailed, match="nobody here"):
        SmtpMailer(url_of(server), "r@example.com").send(to="a@x.com", subject="Hi", text="x")
    with pytest.raises(MailFailed):
        SmtpMailer("smtp://127.0.0.1:1", "r@example.com").send(to="a@x.com", subject="Hi", text="x")


def test_it_wants_tls_where_the_address_says_so(server: _Server) -> None:
    url = url_of(server).replace("smtp:", "smtp+starttls:")
    with pytest.raises(MailFailed):
        SmtpMailer(url, "r@example.com").send(to="a@x.com", subject="Hi", text="x")
    assert server.mails == []


def test_it_sends_in_the_background_and_logs_a_failure(
    server: _Server, caplog: pytest.LogCaptureFixture
) -> None:
    BackgroundMailer(SmtpMailer(url_of(server), "r@example.com")).send(to="a@x.com", subject="Hi", text="x")
    assert server.arrived.wait(20)
    with caplog.at_level(logging.ERROR):
        BackgroundMailer(SmtpMailer("smtp://127.0.0.1:1", "r@x.com")).send(
            to="a@x.com", subject="Hi", text="x"
        )
        for thread in threading.enumerate():
            if thread.name == "mail":
                thread.join(20)
    assert "mail_failed" in caplog.text


def test_it_shows_mails_where_there_is_no_server(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    mailer = make_mailer(Settings.from_env(environment))
    assert isinstance(mailer, ConsoleMailer)
    mailer.send(to="a@x.com", subject="A new password", text="https://r.example/reset/é")
    shown = capsys.readouterr().out
    assert "To: a@x.com" in shown and "https://r.example/reset/é" in shown
    with_server = Settings.from_env({**environment, "SMTP_URL": "smtp://mail.example.com"})
    assert isinstance(make_mailer(with_server), BackgroundMailer)
