"""A pooler that shares connections: refused before anything is written, and nothing leaks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL

from alembic_pgpipe.scratch.server import ScratchServer
from tests.conftest import Connect
from tests.integration.pooler.bouncer import Bouncer, behind, bouncer, needs_pgbouncer, seen_by
from tests.project import Project
from tests.refusal import refused

pytestmark = needs_pgbouncer
SOURCES = {"a": "CREATE TABLE public.a (id int);\n", "b": "CREATE TABLE public.b (id int);\n"}
WORDS = ("pooler", "pool_mode = session", "sqlalchemy.url", "PGHOST", "Nothing was run there")
RELATIONS = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"


def occupied(pooler: Bouncer, target: URL, connect: Connect, size: int) -> None:
    """Let a pool have so many connections, and nobody use them."""
    busy = [connect(pooler.url(target)) for _ in range(size)]
    for one in busy:
        one.cursor().execute("BEGIN")
    for one in busy:
        one.cursor().execute("COMMIT")


@pytest.fixture(params=["transaction", "statement"])
def shared(
    request: pytest.FixtureRequest, scratch: ScratchServer, project: Project
) -> Iterator[Project]:
    """Give a project behind a pooler that shares connections."""
    project.wrapped(**SOURCES)
    with bouncer(scratch, request.param) as pooler, behind(project, pooler) as shared:
        yield shared


def test_every_command_is_refused_and_writes_nothing(shared: Project) -> None:
    for command in (
        ("upgrade", "head"),
        ("downgrade", "base"),
        ("stamp", "head"),
        ("current",),
        ("pgpipe", "status"),
        ("pgpipe", "check"),
        ("pgpipe", "retry"),
        ("pgpipe", "skip", "a", "--reason", "x"),
        ("pgpipe", "log"),
        ("pgpipe", "wait", "--timeout", "0"),
    ):
        refused(shared.alembic(*command), *WORDS)
    assert shared.scalar(RELATIONS) == 0


@pytest.mark.parametrize("size", [1, 2, 3, 20])
@pytest.mark.parametrize("round_robin", [0, 1])
def test_it_is_found_whatever_the_pool_holds(
    scratch: ScratchServer, project: Project, connect: Connect, size: int, round_robin: int
) -> None:
    project.wrapped(**SOURCES)
    assert isinstance(project.url, URL)
    options = {"default_pool_size": size, "server_round_robin": round_robin}
    with (
        bouncer(scratch, "transaction", options) as pooler,
        behind(project, pooler) as shared,
    ):
        occupied(pooler, project.url, connect, size)
        refused(shared.upgrade(), *WORDS)
        assert pooler.idle(project.url) <= size
    assert project.scalar(RELATIONS) == 0


def test_other_clients_see_nothing_of_it(
    scratch: ScratchServer, project: Project, connect: Connect
) -> None:
    project.wrapped(**SOURCES)
    assert isinstance(project.url, URL)
    with (
        bouncer(scratch, "transaction", {"default_pool_size": 1}) as pooler,
        behind(project, pooler) as shared,
    ):
        client = connect(pooler.url(project.url))
        before = seen_by(client)
        refused(shared.upgrade(), *WORDS)
        assert seen_by(client) == before


def test_another_database_whose_pool_is_shared_is_refused_in_its_step(
    scratch: ScratchServer, project: Project, second_database: URL
) -> None:
    name = str(second_database.database)
    project.wrapped(a=SOURCES["a"], b=f"-- pgpipe: database = {name}\n{SOURCES['b']}")
    with (
        bouncer(scratch, "session", shared=name) as pooler,
        behind(project, pooler) as shared,
    ):
        refused(shared.upgrade(), name, "pooler", "pool_mode = session")
    assert project.ledger() == {"a": "SUCCESS", "b": "ERROR"}
