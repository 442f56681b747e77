"""The one way out: a fetcher for addresses that people or other sites gave us.

Every address that a name resolves to is checked, and the connection goes to the checked address itself, so that neither
a redirect nor a name that changes its answer (rebinding) reaches our own network. Size and total time are bounded.
"""

import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import cast
from urllib.parse import urljoin

from core.domain.hosts import is_address, split_port
from core.domain.urls import DestinationRefused, ascii_url, check_destination

Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Sequence[str]]
"""(host, port) -> addresses. Raises OSError."""

_AGENT = "Rastro/1 (fetches for the owner of a link)"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_METHODS = frozenset({"GET", "HEAD", "POST"})
_MOST_ADDRESSES = 4
_NAT64 = IPv6Network("64:ff9b::/96")
_NEVER = (
    IPv4Network("100.64.0.0/10"),
    IPv4Network("168.63.129.16/32"),  # Azure's own services, at a public address
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv4Network("198.18.0.0/15"),
    IPv6Network("64:ff9b:1::/48"),
)  # what some releases of ipaddress call global


class FetchRefused(Exception):
    """The address must not be fetched. `reason` is url, address, method or redirects."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class FetchFailed(Exception):
    """Nobody answered, or not in HTTP: no such name, connection refused, bad certificate, broken answer."""


class FetchTimeout(FetchFailed):
    """The answer was not there when the time was up."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a fetch may cost: bytes of the body, seconds from first look-up to last byte, redirects followed."""

    size: int = 512 * 1024
    seconds: float = 5.0
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `url` is where the redirects ended; header names are in lower case; `cut` says that the body went on
    beyond the bound."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool


def fetch(
    url: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    bounds: Bounds | None = None,
    allowed: Collection[Network] = (),
    resolve: Resolver | None = None,
) -> Reply:
    """Fetch `url` and follow redirects, each checked anew. Any status is an answer.

    `allowed` names networks that may be reached although they are private. On the way to another origin the caller's
    headers and body are left behind. Raises FetchRefused, FetchFailed, FetchTimeout.
    """
    if method not in _METHODS:
        raise FetchRefused("method", f"Only {', '.join(sorted(_METHODS))} are sent.")
    limits = bounds or Bounds()
    hop = _Hop(time.monotonic() + limits.seconds, allowed, resolve or _resolve)
    target, sent_headers, left = _checked(url), dict(headers or {}), limits.redirects
    while True:
        reply = hop.ask(target, method=method, body=body, headers=sent_headers, size=limits.size)
        where = reply.headers.get("location")
        if reply.status not in _REDIRECTS or where is None or limits.redirects == 0:
            return reply
        if left == 0:
            raise FetchRefused("redirects", f"The address redirects more than {limits.redirects} times.")
        left -= 1
        following = _checked(_joined(target, where).partition("#")[0])
        if _origin(following) != _origin(target):
            sent_headers = {}
            if body is not None and reply.status in (307, 308):
                raise FetchRefused("redirects", "The address passes what was sent on to another site.")
        if reply.status in (301, 302, 303) and method == "POST":
            method, body = "GET", None
        target = following


def is_public(text: str, *, allowed: Collection[Network] = ()) -> bool:
    """True for an address of the public internet, or of an `allowed` network.

    Private, loopback, link-local (the clouds' metadata too), carrier-grade, multicast and reserved addresses are not;
    an IPv4 address inside an IPv6 one (mapped, 6to4, Teredo, NAT64) counts for what it is.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if any(address in network for network in allowed if network.version == address.version):
        return True
    inner = _inside(address)
    if inner is not None:
        return is_public(str(inner), allowed=allowed)
    if any(address in network for network in _NEVER if network.version == address.version):
        return False
    return address.is_global and not (
        address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or address.is_link_local
        or getattr(address, "is_site_local", False)
    )


class _Hop:
    """One request after the other, under one deadline."""

    def __init__(self, deadline: float, allowed: Collection[Network], resolve: Resolver) -> None:
        self._deadline = deadline
        self._allowed = allowed
        self._resolve = resolve

    def ask(
        self, url: str, *, method: str, body: bytes | None, headers: Mapping[str, str], size: int
    ) -> Reply:
        scheme, host, port, path = _split(url)
        connection = http.client.HTTPConnection(host, port)
        connection.default_port = http.client.HTTPS_PORT if scheme == "https" else http.client.HTTP_PORT
        try:
            plain = self._connect(host, port)
            try:
                secure = self._secured(plain, host) if scheme == "https" else plain
            except BaseException:
                plain.close()
                raise
            connection.sock = cast(socket.socket, _TimedSocket(secure, self._deadline))
            own = {
                "User-Agent": _AGENT,
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "Connection": "close",
            }
            connection.request(method, path, body=body, headers={**own, **headers})
            answer = connection.getresponse()
            text = answer.read(size + 1)
        except TimeoutError as error:
            raise FetchTimeout(f"{host} did not answer in time.") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise FetchFailed(f"{host} can not be fetched: {error}") from error
        finally:
            connection.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(url=url, status=answer.status, headers=found, body=text[:size], cut=len(text) > size)

    def _connect(self, host: str, port: int) -> socket.socket:
        addresses = self._addresses(host, port)
        error: OSError = OSError("the name has no address")
        for address in addresses[:_MOST_ADDRESSES]:
            try:
                return socket.create_connection(
                    (address, port), timeout=self._left() / min(len(addresses), 2)
                )
            except OSError as failed:
                error = failed
        raise error

    def _addresses(self, host: str, port: int) -> Sequence[str]:
        """The addresses of `host`, all of them fit to be reached."""
        bare = host.strip("[]")
        found = [bare] if is_address(host) else self._looked_up(host, port)
        for address in found:
            if not is_public(address, allowed=self._allowed):
                raise FetchRefused("address", f"{host} is an address of a private network.")
        return found

    def _looked_up(self, host: str, port: int) -> Sequence[str]:
        """The resolver in a thread of its own: it has no time-out that could be trusted."""
        found: list[str] = []
        failed: list[OSError] = []

        def run() -> None:
            try:
                found.extend(self._resolve(host, port))
            except OSError as error:
                failed.append(error)

        thread = threading.Thread(target=run, name="resolve", daemon=True)
        thread.start()
        thread.join(self._left())
        if thread.is_alive():
            raise TimeoutError("name look-up")
        if failed:
            raise failed[0]
        return list(dict.fromkeys(found))

    def _secured(self, plain: socket.socket, host: str) -> socket.socket:
        plain.settimeout(self._left())
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host.strip("[]"))

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline")
        return left


class _TimedSocket:
    """What http.client needs of a socket; each call has only the time that is left for all of them."""

    def __init__(self, inner: socket.socket, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._set_time()
        self._inner.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self), buffer_size=16 * 1024)

    def recv_into(self, buffer: memoryview) -> int:
        self._set_time()
        return self._inner.recv_into(buffer)

    def close(self) -> None:
        self._inner.close()

    def _set_time(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline")
        self._inner.settimeout(left)


class _TimedReader(io.RawIOBase):
    def __init__(self, source: _TimedSocket) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._source.recv_into(buffer)


def _inside(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


def _checked(url: str) -> str:
    try:
        return ascii_url(check_destination(url, own_hosts=()))
    except DestinationRefused as error:
        raise FetchRefused("url", error.message) from error


def _joined(base: str, location: str) -> str:
    try:
        return urljoin(base, _as_typed(location))
    except ValueError as error:
        raise FetchRefused("url", f"The address redirects to one that can not be read: {error}.") from error


def _as_typed(location: str) -> str:
    """A Location header as UTF-8 where it is that; http.client reads headers as Latin-1."""
    try:
        return location.encode("latin-1").decode("utf-8").replace(" ", "%20")
    except UnicodeError:
        return location.replace(" ", "%20")


def _split(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path with query of a checked URL."""
    scheme, _, rest = url.partition("://")
    end = min((rest.find(char) for char in "/?#" if char in rest), default=len(rest))
    host, port = split_port(rest[:end])
    path = rest[end:].partition("#")[0]
    if not path.startswith("/"):
        path = "/" + path
    scheme = scheme.lower()
    return scheme, host, port or (443 if scheme == "https" else 80), path


def _origin(url: str) -> tuple[str, str, int]:
    scheme, host, port, _ = _split(url)
    return scheme, host.lower(), port


def _resolve(host: str, port: int) -> Sequence[str]:
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
