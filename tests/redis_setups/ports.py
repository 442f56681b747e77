"""Ports for servers of tests."""

import socket


def free_port() -> int:
    """A TCP port of this machine that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
