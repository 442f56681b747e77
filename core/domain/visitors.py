"""Who counts as one visitor, without keeping who it was."""

import re
from base64 import urlsafe_b64encode
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address

KEPT_DAYS = 3
"""For how many days after its own a day's key, and what was counted with it, are kept."""

_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"({_BYTE}\.{_BYTE}\.{_BYTE}\.){_BYTE}")


def visitor_hash(ip: str, user_agent: str, *, key: bytes) -> int:
    """A signed 64-bit number of address and agent under the day's key (16 to 64 bytes), never 0: 0 means "not known".

    Without the key nobody can find the address again by trying all of them.
    """
    text = f"{ip}|{user_agent}".encode("utf-8", "replace")
    number = int.from_bytes(blake2b(text, digest_size=8, key=key).digest(), "big", signed=True)
    return number or 1


def seen_hash(ip: str, user_agent: str, *, key: bytes) -> str:
    """16 characters that stand for address and agent at one link, under the link's lasting key (16 to 64 bytes).

    Another link has another key: nobody can be followed from link to link. Apart from what the same key is used for
    elsewhere.
    """
    text = f"{ip}|{user_agent}".encode("utf-8", "replace")
    return urlsafe_b64encode(blake2b(text, digest_size=12, key=key, person=b"seen").digest()).decode("ascii")


def truncated(ip: str) -> str:
    """An address as it may be stored: its network alone, /24 of IPv4 and /48 of IPv6. "" for what is no address."""
    match = _IPV4.fullmatch(ip)  # five times faster than ip_address, for nearly all visitors
    return f"{match[1]}0" if match else _truncated(ip)


def _truncated(ip: str) -> str:
    try:
        address = ip_address(ip)
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address):
        return ""
    if address.ipv4_mapped is not None:
        return truncated(str(address.ipv4_mapped))
    return str(IPv6Address(int(address) >> 80 << 80))
