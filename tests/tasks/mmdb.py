"""A writer of small MMDB files. The format is MaxMind DB 2.0."""

import os
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

_TEXT, _MAP, _LIST = 2, 7, 11
_UINT16, _UINT32, _UINT64 = 5, 6, 9
_NOTHING, _RECORDS = -1, -2
"""Sides of a node that lead to no node: to nothing; to the record that begins so many bytes before -2."""


def write_mmdb(path: Path, network: IPv4Network | IPv6Network, record: dict[str, Any]) -> None:
    """Write (by rename) a file in which every address of an IPv4 `network` has `record`."""
    write_countries(path, [(network, record)])


def write_countries(path: Path, found: Iterable[tuple[IPv4Network | IPv6Network, dict[str, Any]]]) -> None:
    """Write (by rename) a file in which every address of each IPv4 network has its record. No two may overlap."""
    nodes: list[list[int]] = [[_NOTHING, _NOTHING]]
    records: dict[bytes, int] = {}
    size = 0
    for network, record in found:
        data = _encode(record)
        if data not in records:
            records[data], size = size, size + len(data)
        bits = [int(network.network_address) >> (31 - place) & 1 for place in range(network.prefixlen)]
        node = nodes[0]
        for bit in bits[:-1]:
            if node[bit] == _NOTHING:
                node[bit] = len(nodes)
                nodes.append([_NOTHING, _NOTHING])
            node = nodes[node[bit]]
        node[bits[-1]] = _RECORDS - records[data]
    depth = len(nodes)
    sides = (side for node in nodes for side in node)
    tree = b"".join(_side(side, depth).to_bytes(3, "big") for side in sides)
    about = {
        "node_count": _encode(depth, _UINT32),
        "record_size": _encode(24, _UINT16),
        "ip_version": _encode(4, _UINT16),
        "database_type": _encode("Test"),
        "languages": _head(_LIST, 0),
        "binary_format_major_version": _encode(2, _UINT16),
        "binary_format_minor_version": _encode(0, _UINT16),
        "build_epoch": _encode(1, _UINT64),
        "description": _encode({}),
    }
    metadata = _head(_MAP, len(about)) + b"".join(_encode(name) + value for name, value in about.items())
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_bytes(tree + bytes(16) + b"".join(records) + b"\xab\xcd\xefMaxMind.com" + metadata)
    draft.rename(path)


def _side(side: int, depth: int) -> int:
    """As it stands in the tree: a node's number; for nothing, how many nodes there are; from there on, records."""
    if side == _NOTHING:
        return depth
    return side if side >= 0 else depth + 16 + _RECORDS - side


def _encode(value: Any, number: int = _UINT32) -> bytes:
    if isinstance(value, dict):
        return _head(_MAP, len(value)) + b"".join(_encode(k) + _encode(v) for k, v in value.items())
    if isinstance(value, str):
        return _head(_TEXT, len(value)) + value.encode("ascii")
    data = value.to_bytes(2, "big") if number == _UINT16 else value.to_bytes(4, "big")
    return _head(number, len(data)) + data


def _head(kind: int, size: int) -> bytes:
    """Kind and size of what follows, both small here; kinds above 7 have a byte of their own."""
    return bytes([kind << 5 | size]) if kind < 8 else bytes([size, kind - 7])
