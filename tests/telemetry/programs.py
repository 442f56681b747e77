"""The programs as processes, which tell at their end what they had imported."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from core.child import die_with_parent
from tests.faults.programs import until

_RUN = """
import atexit, runpy, sys
{before}
def tell():
    with open({modules!r}, "a") as file:
        file.write("\\n".join(sys.modules) + "\\n")
atexit.register(tell)
sys.argv = [{module!r}, *{words!r}]
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""


class Program:
    """A program of ours, started at once. `before` is Python that runs first, in it."""

    def __init__(
        self,
        module: str,
        *words: str,
        environment: dict[str, str],
        folder: Path,
        before: str = "",
    ) -> None:
        self._log = folder / f"{module}.log"
        self._modules = folder / f"{module}.modules"
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        fd = self._listening.fileno()
        self.port: int = self._listening.getsockname()[1]
        code = _RUN.format(module=module, words=words, modules=str(self._modules), before=before)
        parent = os.getpid()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                env={
                    **environment,
                    "MANAGER_FD": str(fd),
                    "TRACKER_FD": str(fd),
                    "ADMIN_URL": f"http://127.0.0.1:{self.port}",
                    "DEFAULT_HOSTS": f"127.0.0.1:{self.port}",
                    "DRAIN_HOLD": "0",
                    "DRAIN_LIMIT": "5",
                },
                stderr=log,
                pass_fds=(fd,),
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(parent),
            )

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def ask(
        self,
        path: str,
        *,
        body: object = None,
        headers: dict[str, str] | None = None,
        limit: float = 60,
    ) -> tuple[int, str]:
        """Status and text of an answer; a redirect is not followed."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **(headers or {})},
        )
        try:
            with _opener.open(request, timeout=limit) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.read().decode()

    def wait_until_ready(self) -> None:
        """Return once it answers requests, or takes work."""
        until(lambda: self._process.poll() is not None or self._is_ready(), limit=60)
        assert self._process.poll() is None, self.log()

    def stop(self) -> int:
        """As an operator does; returns its status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=60)

    def wait(self) -> int:
        """The status of one that ends by itself."""
        return self._process.wait(timeout=60)

    def imported(self) -> set[str]:
        """The modules that it, and each process that it forked, had in the end."""
        return set(self._modules.read_text(encoding="utf-8").split())

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._listening.close()

    def _is_ready(self) -> bool:
        if "worker.started" in self.log() or "tracker.ready" in self.log():
            return True
        if "tasks" in self._log.name or "tracker" in self._log.name:
            return False
        try:
            return self.ask("/livez", limit=1)[0] == 200
        except OSError:
            return False


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """The answer itself is what tests ask for."""


_opener = urllib.request.build_opener(_NoRedirect)
