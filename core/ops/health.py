"""`python -m core.ops.health`: does the program of this container live? Standard library alone, because it runs often.

A container runs one program, so whichever of the ports answers is that program's.
"""

import http.client
import os
import sys
from collections.abc import Mapping

_PORTS = ("PORT", "8080", "8000", "METRICS_PORT")


def main() -> int:
    """0 when `/livez` says that the program lives, else 1."""
    return 0 if any(_lives(port) for port in ports(os.environ)) else 1


def ports(environ: Mapping[str, str]) -> list[int]:
    """Where a program may answer: its own port, those of tracker and manager, that of a worker's metrics."""
    words = [word if word.isdigit() else environ.get(word, "").strip() for word in _PORTS]
    return [int(word) for word in words if word.isdigit()]


def _lives(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
