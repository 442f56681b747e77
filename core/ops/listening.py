"""Ports of `rastro up`: taken once, before anything else starts, so that a taken one costs no time."""

import errno
import socket
import time

from core.ops.commands import CommandFailed

PORT_TAKEN = 3
"""Exit status when a port is taken."""

_PATIENCE = 1.5  # seconds; programs of an `up` that was killed a moment ago are still letting go
_BACKLOG = 1024


def listen(host: str, port: int, option: str) -> socket.socket:
    """A listening socket on `host` (0 = any free port). `option` names the command line word to change.

    Raises CommandFailed with status 3 when the port is taken.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return _listen(host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise _failure(error, host, port, option) from error


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that are free now, each another one."""
    probes = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        listener.set_inheritable(True)
    except OSError:
        listener.close()
        raise
    return listener


def _failure(error: OSError, host: str, port: int, option: str) -> CommandFailed:
    if error.errno == errno.EADDRINUSE:
        return CommandFailed(
            f"Port {port} on {host} is taken by another program. Stop it, or choose another port with {option}.",
            status=PORT_TAKEN,
        )
    if error.errno == errno.EACCES:
        return CommandFailed(
            f"Port {port} needs more rights than this user has. Choose one above 1023 with {option}."
        )
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return CommandFailed(f"{host} is not an address of this machine. Choose another with --host.")
    return CommandFailed(f"Port {port} on {host} can not be opened ({error.strerror}).")
