"""The guarded fetcher: what it refuses to reach, and what it does not wait for. Servers are local, names made up."""

import shutil
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path

import pytest

from core.net import Bounds, FetchFailed, FetchRefused, FetchTimeout, Reply, fetch, is_public

HERE = (ip_network("127.0.0.0/8"),)


class Site(socketserver.ThreadingTCPServer):
    """Answers each request by its path; keeps what it was sent."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[bytes] = []
        self.answers: dict[str, Callable[[socketserver.StreamRequestHandler], None]] = {}
        self.closing = threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        site = self.server
        assert isinstance(site, Site)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return
            head += line
        length = next(
            (int(v.split(b":")[1]) for v in head.split(b"\r\n") if v.lower().startswith(b"content-length")), 0
        )
        site.requests.append(head + self.rfile.read(length))
        path = head.split(b" ")[1].decode().partition("?")[0]
        try:
            site.answers.get(path, text("fine"))(self)
        except OSError:
            return


def text(body: str) -> Callable[[socketserver.StreamRequestHandler], None]:
    def answer(handler: socketserver.StreamRequestHandler) -> None:
        data = body.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(data)}\r\n\r\n"
        handler.wfile.write(head.encode() + data)

    return answer


def redirect(where: str, status: int = 302) -> Callable[[socketserver.StreamRequestHandler], None]:
    def answer(handler: socketserver.StreamRequestHandler) -> None:
        handler.wfile.write(f"HTTP/1.1 {status} X\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode())

    return answer


def drip(before: bytes, piece: bytes, pause: float) -> Callable[[socketserver.StreamRequestHandler], None]:
    def answer(handler: socketserver.StreamRequestHandler) -> None:
        site = handler.server
        assert isinstance(site, Site)
        handler.wfile.write(before)
        while not site.closing.wait(pause):
            handler.wfile.write(piece)

    return answer


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield site
        site.closing.set()
        site.shutdown()
        thread.join()


def get(url: str, **more: object) -> Reply:
    """As `fetch`, where this machine may be reached and every name is this machine."""
    return fetch(url, **{"allowed": HERE, "resolve": lambda host, port: ["127.0.0.1"], **more})  # type: ignore[arg-type]


def test_it_fetches_from_the_checked_address_under_the_right_name(site: Site) -> None:
    reply = get(f"http://Shop.example:{site.port}/a%20b?x=1#part")
    assert (reply.status, reply.body, reply.cut) == (200, b"fine", False)
    assert reply.headers["content-type"] == "text/html"
    head = site.requests[0].decode()
    assert head.startswith("GET /a%20b?x=1 HTTP/1.1\r\n")
    assert f"Host: shop.example:{site.port}\r\n".lower() in head.lower()


def test_it_posts(site: Site) -> None:
    reply = get(f"http://shop.example:{site.port}/hook", method="POST", body=b"{}", headers={"X-Sign": "abc"})
    assert reply.status == 200
    assert site.requests[0].startswith(b"POST /hook ") and site.requests[0].endswith(b"\r\n\r\n{}")
    assert b"X-Sign: abc" in site.requests[0]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "javascript:alert(1)",
        "http://u:p@example.com/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://exa mple.com/",
        "http://example.com/\r\nX: y",
        "//example.com",
        "",
    ],
)
def test_it_refuses_what_is_no_web_address(url: str) -> None:
    with pytest.raises(FetchRefused) as refused:
        fetch(url, resolve=_never)
    assert refused.value.reason == "url"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.9.9.9/",
        "http://0.0.0.0/",
        "http://10.1.2.3/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://100.64.0.1/",
        "http://100.100.100.200/",
        "http://192.0.0.192/",
        "http://168.63.129.16/",
        "http://198.18.0.1/",
        "http://224.0.0.1/",
        "http://240.0.0.1/",
        "http://255.255.255.255/",
        "http://[::1]/",
        "http://[::]/",
        "http://[fe80::1]/",
        "http://[fc00::1]/",
        "http://[fd00:ec2::254]/",
        "http://[fec0::1]/",
        "http://[ff02::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[::127.0.0.1]/",
        "http://[2002:7f00:1::]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[64:ff9b:1::1]/",
        "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    ],
)
def test_it_refuses_private_addresses(url: str) -> None:
    with pytest.raises(FetchRefused) as refused:
        fetch(url, resolve=_never)
    assert refused.value.reason == "address"


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1"]
)
def test_it_knows_public_addresses(address: str) -> None:
    assert is_public(address)


def test_it_refuses_a_name_with_one_private_address_among_public_ones(site: Site) -> None:
    for addresses in (["10.0.0.1"], ["93.184.216.34", "::1"], ["nonsense"]):
        with pytest.raises(FetchRefused):
            fetch(f"http://shop.example:{site.port}/", resolve=lambda host, port, a=addresses: a)
    assert site.requests == []


def test_it_looks_a_name_up_once_and_goes_where_it_looked(site: Site) -> None:
    """A name that answers differently the second time (rebinding) is never asked a second time."""
    asked: list[str] = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    assert get(f"http://shop.example:{site.port}/", resolve=resolve).status == 200
    assert asked == ["shop.example"]


def test_it_checks_every_redirect(site: Site) -> None:
    own = f"http://shop.example:{site.port}"
    site.answers = {
        "/meta": redirect("http://169.254.169.254/latest/"),
        "/loop": redirect("/loop"),
        "/file": redirect("file:///etc/passwd"),
        "/user": redirect("http://a:b@shop.example/"),
        "/odd": redirect("http://["),
        "/ok": redirect("ok2?a=b c#x", 301),
        "/rebind": redirect(f"http://other.example:{site.port}/"),
    }
    for path, reason in (
        ("/meta", "address"),
        ("/loop", "redirects"),
        ("/file", "url"),
        ("/user", "url"),
        ("/odd", "url"),
    ):
        with pytest.raises(FetchRefused) as refused:
            get(own + path)
        assert refused.value.reason == reason
    reply = get(f"{own}/ok")
    assert (reply.status, reply.url) == (200, f"{own}/ok2?a=b%20c")
    with pytest.raises(FetchRefused):
        get(
            f"{own}/rebind",
            resolve=lambda host, port: ["127.0.0.1" if host == "shop.example" else "10.0.0.1"],
        )


def test_it_leaves_secrets_behind_at_another_origin(site: Site) -> None:
    own = f"http://shop.example:{site.port}"
    site.answers = {
        "/away": redirect(f"http://other.example:{site.port}/x"),
        "/pass": redirect(f"http://other.example:{site.port}/x", 307),
        "/here": redirect("/x", 307),
    }
    get(f"{own}/away", headers={"Authorization": "Bearer s3cret"})
    assert b"s3cret" in site.requests[0] and b"s3cret" not in site.requests[1]
    with pytest.raises(FetchRefused):
        get(f"{own}/pass", method="POST", body=b"s3cret")
    get(f"{own}/here", method="POST", body=b"s3cret")
    assert site.requests[-1].startswith(b"POST /x") and site.requests[-1].endswith(b"s3cret")
    get(f"{own}/away", method="POST", body=b"s3cret")
    assert site.requests[-1].startswith(b"GET /x") and b"s3cret" not in site.requests[-1]


def test_it_does_not_follow_where_it_shall_not(site: Site) -> None:
    site.answers = {"/r": redirect("/x")}
    reply = get(f"http://shop.example:{site.port}/r", bounds=Bounds(redirects=0))
    assert (reply.status, reply.headers["location"]) == (302, "/x")


def test_it_cuts_a_page_without_end(site: Site) -> None:
    site.answers = {"/": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", b"x" * 65536, 0)}
    reply = get(f"http://shop.example:{site.port}/", bounds=Bounds(seconds=30))
    assert (len(reply.body), reply.cut) == (512 * 1024, True)


@pytest.mark.parametrize(
    ("before", "piece"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
)
def test_it_does_not_wait_for_a_page_that_drips(site: Site, before: bytes, piece: bytes) -> None:
    site.answers = {"/": drip(before, piece, 0.1)}
    with pytest.raises(FetchTimeout):
        get(f"http://shop.example:{site.port}/", bounds=Bounds(seconds=0.7))


def test_it_does_not_wait_for_a_name_that_is_not_answered() -> None:
    release = threading.Event()

    def resolve(host: str, port: int) -> Sequence[str]:
        release.wait(30)
        return []

    began = time.monotonic()
    with pytest.raises(FetchTimeout):
        get("http://shop.example/", resolve=resolve, bounds=Bounds(seconds=0.3))
    release.set()
    assert time.monotonic() - began < 20


def test_it_fails_in_words_where_nobody_answers(site: Site) -> None:
    site.answers = {"/bad": lambda handler: handler.wfile.write(b"nonsense\r\n\r\n") and None}

    def no_name(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    for url, more in (
        (f"http://shop.example:{site.port}/bad", {}),
        (f"https://shop.example:{site.port}/", {}),
        ("http://shop.example:1/", {}),
        ("http://shop.example/", {"resolve": no_name}),
        ("http://shop.example/", {"resolve": lambda host, port: []}),
        (f"http://shop.example:{site.port}/", {"headers": {"X": "a\r\nY: b"}}),
    ):
        with pytest.raises(FetchFailed):
            get(url, bounds=Bounds(seconds=2), **more)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_it_wants_a_certificate_for_the_name(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=shop.example -addext subjectAltName=DNS:shop.example"
    subprocess.run(["openssl", *words.split(), "-keyout", key, "-out", cert], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    named: list[str | None] = []
    context.sni_callback = lambda sock, name, ctx: named.append(name)
    site.socket = context.wrap_socket(site.socket, server_side=True)
    url = f"https://shop.example:{site.port}/"
    with pytest.raises(FetchFailed, match=r"(?i)certificate"):
        get(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    assert get(url).body == b"fine"
    with pytest.raises(FetchFailed, match=r"(?i)certificate|hostname"):
        get(f"https://other.example:{site.port}/")
    assert named == ["shop.example", "shop.example", "other.example"]


def test_it_sends_no_other_method() -> None:
    with pytest.raises(FetchRefused):
        fetch("http://example.com/", method="PUT", resolve=_never)


def _never(host: str, port: int) -> Sequence[str]:
    raise AssertionError(f"{host} was looked up")
