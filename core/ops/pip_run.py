"""pip, found or fetched, and run quietly: one line a stage, with counts. Standard library alone."""

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from core.ops.commands import CommandFailed

_DEFAULT_INDEX = "https://pypi.org/simple"
_MISLEADING = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON", "PYTHONPATH", "PYTHONHOME")
_NETWORK_SIGNS = (
    "NewConnectionError",
    "ConnectTimeout",
    "Temporary failure in name resolution",
    "ReadTimeout",
    "Max retries exceeded",
    "Network is unreachable",
    "ProxyError",
    "Connection refused",
    "SSLError",
)


def install_packages(root: Path, folder: Path, locks: Sequence[Path], *, lock: int) -> None:
    """Install exactly the locked packages into the environment `folder`, every file checked against its hash.

    pip inherits the file descriptor `lock`, so that the turn lasts until it is gone, even when we are killed.
    Raises CommandFailed with the reason; pip's own words are kept in `folder/install.log`.
    """
    command = [
        *_pip(root, folder),
        "install",
        "--require-hashes",
        "--no-deps",
        "--only-binary=:all:",
        "--no-input",
        "--progress-bar=off",
        "--no-warn-script-location",
        "--disable-pip-version-check",
        "--no-user",
    ]
    for name in locks:
        command += ["-r", str(name)]
    most = sum(
        len(re.findall(r"^[A-Za-z0-9].*==", name.read_text(encoding="utf-8"), re.MULTILINE)) for name in locks
    )
    log = folder / "install.log"
    status = _follow(command, log, most, lock)
    if status != 0:
        raise CommandFailed(_reason(log))


def _follow(command: list[str], log: Path, most: int, lock: int) -> int:
    started = time.monotonic()
    environment = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    fetched, live = 0, sys.stdout.isatty()
    if not live:
        print(f"Fetching up to {most} packages ...", flush=True)
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            pass_fds=(lock,),
        ) as pip,
    ):
        for line in pip.stdout or ():
            file.write(line)
            if line.startswith(("Collecting ", "Processing ", "Requirement already satisfied")):
                fetched += 1
                if live:
                    print(f"\rFetching packages: {fetched} of {most} ", end="", flush=True)
            elif line.startswith("Installing collected packages"):
                print(
                    f"{chr(13) if live else ''}Fetched {fetched} packages in {time.monotonic() - started:.0f} s. "
                    f"Installing {line.count(',') + 1} ...",
                    flush=True,
                )
        status = pip.wait()
    if status == 0:
        print(f"Packages are ready after {time.monotonic() - started:.0f} s.", flush=True)
    elif live:
        print()
    return status


def _reason(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")
    errors = [line for line in text.splitlines() if line.startswith("ERROR")] or text.splitlines()[-5:]
    if any(sign in text for sign in _NETWORK_SIGNS):
        return (
            "The packages could not be fetched: the package index can not be reached from here.\n"
            "Check the network, the proxy (HTTPS_PROXY) or the index (PIP_INDEX_URL), and start again; "
            f"what arrived is kept.\nDetails: {log}"
        )
    if "No space left on device" in text:
        return f"The packages could not be installed: the disk of {log.parent} is full (about 250 MB are needed)."
    if "DO NOT MATCH THE HASHES" in text:
        return f"A package is not the one that was locked (its hash differs), so nothing was used. Details: {log}"
    return "The packages could not be installed:\n" + "\n".join(errors[:5]) + f"\nDetails: {log}"


def _pip(root: Path, folder: Path) -> list[str]:
    """How to call pip for the environment: its own, the interpreter's bundled one, or the pinned wheel, fetched."""
    python = str(folder / "bin" / "python")
    if next(folder.glob("lib/python3.*/site-packages/pip/__main__.py"), None):
        return [python, "-m", "pip"]
    wheel = _bundled_wheel() or _fetch_wheel(root, folder)
    return [python, str(wheel / "pip")]


def _bundled_wheel() -> Path | None:
    """The wheel that `ensurepip` would install; run as it is, since nothing but this needs pip."""
    spec = importlib.util.find_spec("ensurepip")
    if spec is None or spec.origin is None:
        return None
    for place in (Path(spec.origin).parent / "_bundled", Path("/usr/share/python-wheels")):
        wheels = sorted(place.glob("pip-*.whl"))
        if wheels:
            return wheels[-1]
    return None


def _fetch_wheel(root: Path, folder: Path) -> Path:
    """The pip wheel that `requirements/pip.lock` pins, from the package index; kept in the environment."""
    found = re.match(
        r"pip==(\S+) --hash=sha256:([0-9a-f]{64})", (root / "requirements" / "pip.lock").read_text("ascii")
    )
    if not found:
        raise CommandFailed("requirements/pip.lock can not be understood. The clone is not complete.")
    version, digest = found.groups()
    name = f"pip-{version}-py3-none-any.whl"
    target = folder / name
    if target.exists() and hashlib.sha256(target.read_bytes()).hexdigest() == digest:
        return target
    index = _index_url()
    print(f"Fetching pip {version}.", flush=True)
    try:
        data = _get(_file_url(index, name))
    except (OSError, ValueError) as error:
        raise CommandFailed(
            f"pip could not be fetched from {_without_password(index)} ({_short(error)}).\n"
            "Check the network, the proxy (HTTPS_PROXY) or the index (PIP_INDEX_URL), or install python3-venv."
        ) from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise CommandFailed(
            f"{name} from {_without_password(index)} is not the pinned file (its hash differs)."
        )
    target.write_bytes(data)
    return target


def _file_url(index: str, name: str) -> str:
    page = f"{index.rstrip('/')}/pip/"
    request = urllib.request.Request(page)  # noqa: S310 (the operator's own index)
    request.add_header("Accept", "application/vnd.pypi.simple.v1+json, text/html;q=0.5")
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        text, kind, page = answer.read().decode("utf-8"), answer.headers.get_content_type(), str(answer.url)
    if kind.endswith("json"):
        addresses: list[str] = [file["url"] for file in json.loads(text)["files"] if file["filename"] == name]
    else:
        links = _Links()
        links.feed(text)
        addresses = [
            link for link in links.found if unquote(urlsplit(link).path).endswith(f"/{name}") or link == name
        ]
    if not addresses:
        raise ValueError(f"it has no {name}")
    return urljoin(page, addresses[0])


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
        data: bytes = answer.read()
    return data


def _index_url() -> str:
    """The package index: PIP_INDEX_URL, else what pip's configuration files say, else PyPI."""
    if os.environ.get("PIP_INDEX_URL"):
        return os.environ["PIP_INDEX_URL"]
    home = os.path.expanduser("~")  # noqa: PTH111 (an unknown home stays "~")
    config = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    places = [os.environ.get("PIP_CONFIG_FILE", ""), f"{config}/pip/pip.conf", f"{home}/.pip/pip.conf"]
    for place in [*places, "/etc/xdg/pip/pip.conf", "/etc/pip.conf"]:
        found = _index_of(Path(place)) if place else None
        if found:
            return found
    return _DEFAULT_INDEX


def _index_of(path: Path) -> str | None:
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return None
    found: str | None = parser.get("global", "index-url", fallback=None)
    return found


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)


def _short(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(reason or error)


class _Links(HTMLParser):
    """Collects the addresses of an index page that is HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value.partition("#")[0] for name, value in attrs if name == "href" and value]
