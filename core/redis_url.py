"""What REDIS_URL says: one server, a primary that sentinels know, or a cluster."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

SERVER, SENTINEL, CLUSTER = "server", "sentinel", "cluster"

FORMS = "redis://, rediss://, unix://, redis+sentinel://, rediss+sentinel://, redis+cluster:// and rediss+cluster://"

_PORTS = {SERVER: 6379, SENTINEL: 26379, CLUSTER: 6379}
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS = (*_FILES, "ssl_cert_reqs", "ssl_check_hostname")
_ALWAYS = ("db", "protocol", "socket_timeout", "socket_connect_timeout", "socket_keepalive", "client_name")
_SENTINELS = ("sentinel_username", "sentinel_password")
_NO_OTHER = "must have 0 or nothing as database number: a cluster has no other"
_CERTIFICATES = ("none", "optional", "required")


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """`url` is what redis-py reads for one server: of a sentinel's primary or a cluster's node all but its address,
    with the first of `hosts` in that place. `hosts` are the sentinels, or nodes of the cluster to ask first; empty for
    one server. `service` is the name by which sentinels know the primary; `login` their user and password."""

    kind: str
    url: str
    hosts: tuple[tuple[str, int], ...] = ()
    service: str = ""
    login: tuple[str, str] = ("", "")


def read_redis_url(url: str) -> RedisPlace:
    """Raises ValueError, whose text ends a sentence that begins with the setting's name and holds no secret."""
    scheme, separator, _ = url.partition("://")
    base, _, more = scheme.partition("+")
    kind = more or SERVER
    known = base in ("redis", "rediss") or scheme == "unix"
    if not separator or not known or kind not in _PORTS or scheme.endswith("+server"):
        raise ValueError(f"must start with one of {FORMS}")
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError as error:
        raise ValueError("is not an address") from error
    _check_options(options, kind=kind, is_tls=base == "rediss")
    login, _, addresses = parts.netloc.rpartition("@")
    if kind == SERVER:
        if base != "unix":
            _host(addresses, _PORTS[kind])
        return RedisPlace(kind, url)
    hosts = tuple(_host(address, _PORTS[kind]) for address in addresses.split(","))
    service, database = _path(parts, kind)
    login_of_sentinels = (options.pop("sentinel_username", ""), options.pop("sentinel_password", ""))
    host, port = hosts[0]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    query = f"?{urlencode(options)}" if options else ""
    one = (
        f"{base}://{login}@{address}/{database}{query}" if login else f"{base}://{address}/{database}{query}"
    )
    return RedisPlace(kind, one, hosts, service, login_of_sentinels)


def _check_options(options: dict[str, str], *, kind: str, is_tls: bool) -> None:
    """What redis-py would only refuse, or ignore, once it connects."""
    allowed = _ALWAYS + (_TLS if is_tls else ()) + (_SENTINELS if kind == SENTINEL else ())
    for name, value in options.items():
        if name in _TLS and not is_tls:
            raise ValueError(f"has the option {name}, which needs rediss://")
        if name not in allowed:
            raise ValueError(f"has an option that is not known: {name}")
        if name in _FILES and not Path(value).is_file():
            raise ValueError(f"has the option {name}, but there is no file {value}")
        if name == "ssl_cert_reqs" and value not in _CERTIFICATES:
            raise ValueError(f"must have one of {', '.join(_CERTIFICATES)} as ssl_cert_reqs")
        if name == "db" and not value.isdecimal():
            raise ValueError("has a database number that is none")
        if name == "db" and kind == CLUSTER and int(value):
            raise ValueError(_NO_OTHER)


def _host(address: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{address}")
        host, given = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("is not an address") from error
    if not host:
        raise ValueError("has no host name")
    return host, given or port


def _path(parts: SplitResult, kind: str) -> tuple[str, int]:
    """Service and database number."""
    words = parts.path.strip("/").split("/") if parts.path.strip("/") else []
    service = words.pop(0) if kind == SENTINEL and words else ""
    if kind == SENTINEL and not service:
        raise ValueError("must name the primary as the sentinels do: redis+sentinel://HOST:26379/NAME/0")
    database = words.pop(0) if words else "0"
    if words or not database.isdecimal():
        raise ValueError("has a database number that is none")
    if kind == CLUSTER and int(database):
        raise ValueError(_NO_OTHER)
    return service, int(database)
