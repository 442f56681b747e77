"""For programs that start others: no child outlives its parent."""

import ctypes
import os
import signal
import sys


def die_with_parent(parent: int) -> None:
    """In a child before exec: ask the kernel for SIGKILL when the parent dies (Linux; elsewhere nothing).

    The parent may have died before the request, so its id is compared afterwards.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
