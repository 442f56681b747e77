"""Files that belong to the process that holds their lock: whoever finds one unlocked knows that its process is gone.

The lock is the kernel's (flock), so that no way of dying leaves it behind.
"""

import fcntl
import os
from pathlib import Path


def begin(path: Path, flags: int) -> int:
    """Make a new, empty file and return its descriptor; it appears under its name only when it is locked. Raises
    OSError."""
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, flags | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.rename(path)
    except OSError:
        os.close(descriptor)
        draft.unlink(missing_ok=True)
        raise
    return descriptor


def take_over(path: Path, flags: int) -> int | None:
    """Lock a file whose process is gone and return its descriptor; None when somebody owns it or it has just been
    removed. Raises OSError."""
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None
