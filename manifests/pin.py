#!/usr/bin/env python3
"""`manifests/pin.py REPOSITORY@sha256:...` writes which image the overlay for EKS runs; the comments there stay.

The workflow that makes a release calls it, and so may a person. Standard library alone. Exit 2 when it can not.
"""

import re
import sys
from pathlib import Path

OVERLAY = Path(__file__).resolve().parent / "overlays/eks/kustomization.yaml"
_IMAGE = re.compile(r"([a-z0-9][a-z0-9./:_-]*)@(sha256:[0-9a-f]{64})")
_ENTRY = re.compile(r"(?m)^(  - name: rastro\n    newName: ).*(\n    digest: ).*$")


def pinned(text: str, image: str) -> str:
    """The kustomization with that image in place of the one before. Raises ValueError when either is not understood."""
    parts = _IMAGE.fullmatch(image)
    if parts is None:
        raise ValueError(f"{image!r} is no REPOSITORY@sha256:DIGEST")
    changed, count = _ENTRY.subn(rf"\g<1>{parts[1]}\g<2>{parts[2]}", text)
    if count != 1:
        raise ValueError(f"there are {count} entries for the image rastro, and not one")
    return changed


def main(words: list[str]) -> int:
    """Rewrite the overlay."""
    if len(words) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        text = pinned(OVERLAY.read_text(encoding="utf-8"), words[0])
    except ValueError as error:
        print(f"{OVERLAY}: {error}", file=sys.stderr)
        return 2
    OVERLAY.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
