"""Host names: one spelling for each, so that two texts for the same host compare equal."""

import re
import unicodedata
from ipaddress import AddressValueError, IPv4Address, IPv6Address

LONGEST_HOST = 253
_LONGEST_LABEL = 63
_ASCII_LABEL = re.compile(r"[a-z0-9_-]+\Z")
_NUMERIC_LABEL = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")


class HostRefused(Exception):
    """A text can not be the host of short links, or of an address; str() of it is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def check_host(text: str) -> str:
    """The stored form of a host for short links: lower case, punycode, no trailing dot.

    A port is allowed only on this machine (localhost, 127.0.0.1, [::1]) and on bare addresses, where no name server
    and no proxy could hide it. Raises HostRefused with a reason: empty, scheme, path, port, or one of `ascii_host`.
    """
    typed = text.strip()
    if not typed:
        raise HostRefused("empty", "Type a host name, such as go.example.com.")
    if "://" in typed:
        raise HostRefused("scheme", "Leave out what stands before the name, such as https://.")
    if any(char in typed for char in "/?#@\\"):
        raise HostRefused("path", "Type the host name alone, without a path, such as go.example.com.")
    name, port = split_port(typed)
    host = ascii_host(name)
    if port is None:
        return host
    if not is_loopback(host) and not is_address(host):
        raise HostRefused("port", "Leave out the port: short links use the usual ones, 80 and 443.")
    return f"{host}:{port}"


def split_port(text: str) -> tuple[str, int | None]:
    """("[::1]:80") -> ("[::1]", 80); the port is None where none is written. Raises HostRefused (reason port)."""
    if text.startswith("["):
        name, bracket, rest = text.partition("]")
        name += bracket
        if not rest:
            return name, None
        colon, port = rest[:1], rest[1:]
    else:
        name, colon, port = text.partition(":")
    if not colon and not port:
        return name, None
    if colon != ":" or not _PORT.match(port) or not 0 < int(port) < 65536:
        raise HostRefused("port", "A port is a number from 1 to 65535, after one colon.")
    return name, int(port)


def ascii_host(text: str) -> str:
    """The one spelling of a host: lower case, punycode for other scripts, without a trailing dot.

    Raises HostRefused with a reason: empty, host (characters or labels that no host has), length, look_alike (letters
    dressed up as others, such as ①), number (an address written in another way than 192.0.2.1).
    """
    if text.startswith("["):
        return _ipv6(text)
    name = unicodedata.normalize("NFC", text).removesuffix(".")
    if not name:
        raise HostRefused("empty", "The host name is missing.")
    if unicodedata.normalize("NFKC", name) != name:
        raise HostRefused("look_alike", "The host name has a character that only looks like a usual one.")
    labels = [_ascii_label(label) for label in name.lower().split(".")]
    host = ".".join(labels)
    if len(host) > LONGEST_HOST:
        raise HostRefused("length", f"A host name has at most {LONGEST_HOST} characters.")
    if _NUMERIC_LABEL.match(labels[-1]) and not is_address(host):
        raise HostRefused("number", "Write an IP address as four numbers, such as 192.0.2.1.")
    return host


def is_loopback(host: str) -> bool:
    """True when `host` (as `ascii_host` gives it) is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    if address is None:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback or (mapped or address).is_unspecified


def is_address(host: str) -> bool:
    """True when `host` (as `ascii_host` gives it) is an IP address and no name."""
    return _address(host) is not None


def _ascii_label(label: str) -> str:
    if label.isascii():
        fits, encoded = bool(_ASCII_LABEL.match(label)), label
    else:
        fits = all(_is_letter(char) for char in label) and not label.startswith("xn--")
        encoded = "xn--" + label.encode("punycode").decode("ascii") if fits else ""
    if not fits or label.startswith("-") or label.endswith("-"):
        raise HostRefused("host", "The host name has a character that no host name has.")
    if len(encoded) > _LONGEST_LABEL:
        raise HostRefused("length", f"Each part of a host name has at most {_LONGEST_LABEL} characters.")
    return encoded


def _is_letter(char: str) -> bool:
    if char.isascii():
        return bool(_ASCII_LABEL.match(char))
    return unicodedata.category(char) in ("Ll", "Lo", "Lm", "Mn", "Mc", "Nd")


def _ipv6(text: str) -> str:
    address = _address(text) if text.endswith("]") and "%" not in text else None
    if address is None:
        raise HostRefused("host", "The IP address in brackets is not one.")
    return f"[{address.compressed}]"


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return IPv6Address(host[1:-1]) if host.startswith("[") else IPv4Address(host)
    except AddressValueError:
        return None
