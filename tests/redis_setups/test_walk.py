"""The programs over each set-up of Redis, each as its user in docs/redis.md and with no more than that one's rights."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tests.redis_setups.setups import Watched, cluster, node, watched
from tests.redis_setups.tls import in_front_of
from tests.redis_setups.users import PASSWORD, make_users, refused
from tests.redis_setups.walk import Urls, walk

pytestmark = pytest.mark.faults
Walk = Callable[[Urls], None]


@pytest.fixture
def go(environment: dict[str, str], engine: Engine, db: Session, tmp_path: Path) -> Walk:
    return lambda urls: walk(urls, environment=environment, engine=engine, db=db, folder=tmp_path)


def test_it_works_over_tls_with_few_rights(go: Walk, tmp_path: Path) -> None:
    with node() as server, in_front_of(server.port, tmp_path) as tls:
        make_users(server)
        try:
            go(_as_users("rediss", f"localhost:{tls.port}/0?ssl_ca_certs={tls.authority}"))
        finally:
            assert refused(server) == []


def test_it_works_over_a_cluster_with_few_rights(go: Walk) -> None:
    with cluster() as made:
        make_users(*made.nodes)
        try:
            go(_as_users("redis+cluster", made.url.partition("://")[2]))
        finally:
            assert refused(*made.nodes) == []


def test_it_works_over_sentinels_with_few_rights(go: Walk) -> None:
    with watched() as made:
        make_users(made.primary, made.replica)
        try:
            go(_as_users("redis+sentinel", f"{made.hosts}/{Watched.name}/0"))
        finally:
            assert refused(made.primary) == []


def _as_users(scheme: str, rest: str) -> Urls:
    password = quote(PASSWORD, safe="")
    return Urls(
        *(f"{scheme}://rastro-{program}:{password}@{rest}" for program in ("tracker", "manager", "worker"))
    )
