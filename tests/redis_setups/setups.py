"""Set-ups of Redis that are more than one server, made of the embedded Valkey: a cluster, a primary with sentinels."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.contracts import keys
from core.ops import servers
from tests.redis_setups.ports import free_port

LIMIT_S = 60.0
HOST = "127.0.0.1"


def until(true: Callable[[], object], what: str) -> None:
    """Poll until `true()`, over what is away for a moment; a generous limit."""
    end = time.monotonic() + LIMIT_S
    while True:
        try:
            if true():
                return
        except (redis.RedisError, OSError):
            pass
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.05)


class Node:
    """A Valkey that listens on TCP. It keeps its data over `kill` and `start`."""

    def __init__(self, folder: Path, **options: str) -> None:
        self.port = free_port()
        program = servers.valkey_program(folder)
        given = {"port": str(self.port), "bind": HOST, "repl-diskless-sync-delay": "0", **options}
        self._program = replace(
            program, argv=(*program.argv, *(word for name in given for word in (f"--{name}", given[name])))
        )
        self._log = (folder / "log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None
        self.client: redis.Redis[Any] = redis.Redis(
            host=HOST, port=self.port, retry=Retry(NoBackoff(), 0), socket_timeout=LIMIT_S
        )
        self.start()

    def start(self) -> None:
        self._process = servers.start_child(self._program, log=self._log.fileno())
        servers.wait_until_up(self._program, self._process, limit=LIMIT_S)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=LIMIT_S)
            self._process = None

    def close(self) -> None:
        self.kill()
        self.client.close()
        self._log.close()

    @property
    def id(self) -> str:
        """Its name in the cluster."""
        return self.client.execute_command("CLUSTER MYID").decode()


class Cluster:
    """Primaries with an even share of the slots each, and as many replicas of each as wanted."""

    def __init__(self, folder: Path, *, primaries: int = 3, replicas: int = 0, **options: str) -> None:
        given = {
            "cluster-enabled": "yes",
            "cluster-node-timeout": "1000",
            "cluster-allow-replica-migration": "no",
            "databases": "1",
            **options,
        }
        self.primaries: list[Node] = []
        self.replicas: list[Node] = []
        for number in range(primaries * (1 + replicas)):
            node = Node(folder / str(number), **{"cluster-port": str(free_port()), **given})
            (self.primaries if number < primaries else self.replicas).append(node)
        self._join()
        self.url = f"redis+cluster://{','.join(f'{HOST}:{node.port}' for node in self.primaries)}"

    @property
    def nodes(self) -> list[Node]:
        return [*self.primaries, *self.replicas]

    @property
    def home(self) -> Node:
        """Where our own slot is served."""
        return self.owner(keys.HOME)

    def owner(self, name: str) -> Node:
        """Where a name is served, as the first primary that answers says."""
        slot = keys.slot_of(name)
        for node in self.nodes:
            try:
                slots = node.client.execute_command("CLUSTER SLOTS")
            except redis.RedisError:
                continue
            port = next(primary[1] for first, last, primary, *_ in slots if first <= slot <= last)
            return next(node for node in self.nodes if node.port == port)
        raise AssertionError("nobody answers")

    def move(self, slot: int, target: Node) -> None:
        """Move one slot with all that is in it, while others read and write."""
        source = next(
            node
            for node in self.primaries
            if node.client.execute_command("CLUSTER MYID") and _has(node, slot)
        )
        target.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source.id)
        source.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target.id)
        while names := source.client.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
            source.client.execute_command(
                "MIGRATE", HOST, target.port, "", 0, int(LIMIT_S * 1000), "KEYS", *names
            )
        for node in (target, source, *self.primaries):
            node.client.execute_command("CLUSTER SETSLOT", slot, "NODE", target.id)

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def _join(self) -> None:
        first, *others = self.primaries
        share = keys.SLOTS // len(self.primaries)
        for number, node in enumerate(self.primaries):
            last = keys.SLOTS if node is self.primaries[-1] else share * (number + 1)
            node.client.execute_command("CLUSTER ADDSLOTSRANGE", share * number, last - 1)
            node.client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for node in [*others, *self.replicas]:
            bus = int(node.client.config_get("cluster-port")["cluster-port"])
            first.client.execute_command("CLUSTER MEET", HOST, node.port, bus)
        for node in self.nodes:
            until(lambda node=node: _knows(node) == len(self.nodes), "all know each other")
        for number, node in enumerate(self.replicas):
            of = self.primaries[number % len(self.primaries)]
            until(lambda node=node, of=of: node.client.execute_command("CLUSTER REPLICATE", of.id), "copies")
        for node in self.nodes:
            until(
                lambda node=node: node.client.execute_command("CLUSTER INFO")["cluster_state"] == "ok",
                "joined",
            )
        for node in self.replicas:
            until(lambda node=node: node.client.info("replication")["master_link_status"] == "up", "copied")


@contextmanager
def cluster(**options: Any) -> Iterator[Cluster]:
    """A cluster for the length of the block."""
    with _folder() as folder:
        made = Cluster(folder, **options)
        try:
            yield made
        finally:
            made.close()


class Watched:
    """A primary, a replica of it, and three sentinels of which two must agree that it is gone."""

    name = "links"

    def __init__(self, folder: Path) -> None:
        self.primary, self.replica = Node(folder / "primary"), Node(folder / "replica")
        self.replica.client.replicaof(HOST, self.primary.port)
        self.sentinels = [
            _Sentinel(folder / f"sentinel{number}", self.primary.port, self.name) for number in range(3)
        ]
        until(lambda: self.replica.client.info("replication")["master_link_status"] == "up", "copied")
        for sentinel in self.sentinels:
            until(sentinel.knows_all, "sentinels know each other and the replica")

    @property
    def hosts(self) -> str:
        return ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)

    @property
    def url(self) -> str:
        return f"redis+sentinel://{self.hosts}/{self.name}/0"

    def close(self) -> None:
        for one in (*self.sentinels, self.replica, self.primary):
            one.close()


class _Sentinel:
    def __init__(self, folder: Path, primary: int, name: str) -> None:
        folder.mkdir()
        self.port = free_port()
        self._name = name
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind {HOST}\ndir {folder}\nsentinel monitor {name} {HOST} {primary} 2\n"
            f"sentinel down-after-milliseconds {name} 1000\nsentinel failover-timeout {name} 5000\n"
        )
        binary = servers.valkey_program(folder / "unused").argv[0]
        self.client: redis.Redis[Any] = redis.Redis(host=HOST, port=self.port, retry=Retry(NoBackoff(), 0))
        program = servers.Program(
            name="sentinel",
            argv=(binary, str(config), "--sentinel"),
            cwd=folder,
            url="",
            is_up=lambda: _answers(self.client),
        )
        self._log = (folder / "log").open("ab")
        self._process = servers.start_child(program, log=self._log.fileno())
        servers.wait_until_up(program, self._process, limit=LIMIT_S)

    def knows_all(self) -> bool:
        state = self.client.sentinel_master(self._name)
        return bool(state["num-other-sentinels"] == 2 and state["num-slaves"] == 1)

    def close(self) -> None:
        self._process.kill()
        self._process.wait(timeout=LIMIT_S)
        self.client.close()
        self._log.close()


@contextmanager
def watched() -> Iterator[Watched]:
    """A primary with sentinels for the length of the block."""
    with _folder() as folder:
        made = Watched(folder)
        try:
            yield made
        finally:
            made.close()


@contextmanager
def node(**options: str) -> Iterator[Node]:
    """One server for the length of the block."""
    with _folder() as folder:
        made = Node(folder / "node", **options)
        try:
            yield made
        finally:
            made.close()


def _answers(client: "redis.Redis[Any]") -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="rastro-setups-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _has(node: Node, slot: int) -> bool:
    port = next(
        primary[1]
        for first, last, primary, *_ in node.client.execute_command("CLUSTER SLOTS")
        if first <= slot <= last
    )
    return bool(port == node.port)


def _knows(node: Node) -> int:
    return int(node.client.execute_command("CLUSTER INFO")["cluster_known_nodes"])
