"""A machine that vanishes in the middle of a run: its lock is free when its time is up.

The machine is a network namespace, whose address is taken away.  With the time-outs as they
are shipped that takes a minute, which ``make hostile`` waits for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL

from alembic_pgpipe.connect.lock import lock_key
from alembic_pgpipe.scratch.server import ScratchServer, scratch_server
from tests.background import eventually
from tests.killing import holding, stuck_in
from tests.project import Project
from tests.scratch_folder import scratch_folder

NAME = f"pgp{os.getpid()}"
NEAR, FAR = (f"10.213.{os.getpid() % 250}.{host}" for host in (1, 2))
# A hasty client asks the server for other time-outs, and is like ours in all else.
CLIENT = """
import sys
from alembic.config import main
from alembic_pgpipe.connect import database

database.SERVER_KEEPALIVES = dict(zip(database.SERVER_KEEPALIVES, sys.argv[1].split()))
main(["upgrade", "head"])
"""
HASTY, SHIPPED = "1 1 2 3000", "30 10 3 60000"
WAIT = "CREATE TABLE public.a (id int);\nSELECT pg_advisory_xact_lock(42);\n"
LOCKED = f"""
    SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND (classid::bigint << 32) | objid::bigint = {lock_key("public")}
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def machine() -> Iterator[str]:
    """Give the name of a network namespace with an address, beside ours."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("only root, with iproute2, can make a machine that vanishes")
    try:
        ip("netns", "add", NAME)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode()}")
    try:
        ip("link", "add", NAME, "type", "veth", "peer", "name", f"{NAME}b")
        ip("link", "set", f"{NAME}b", "netns", NAME)
        ip("addr", "add", f"{NEAR}/30", "dev", NAME)
        ip("link", "set", NAME, "up")
        ip("-n", NAME, "addr", "add", f"{FAR}/30", "dev", f"{NAME}b")
        ip("-n", NAME, "link", "set", f"{NAME}b", "up")
        yield NAME
    finally:
        # That of the namespace goes with it, some time after the namespace.
        subprocess.run(["ip", "link", "del", NAME], check=False, capture_output=True)
        ip("netns", "del", NAME)


@dataclass(frozen=True, slots=True)
class Near:
    """A project as it is here, beside its server, and as it is on the other machine."""

    here: Project
    server: ScratchServer


@pytest.fixture
def near(machine: str, tmp_path: Path) -> Iterator[Near]:
    """Give a project whose database the other machine reaches."""
    settings = {"listen_addresses": NEAR, "port": "5432"}
    with (
        scratch_folder() as folder,
        scratch_server(folder / "pg", os.environ, settings=settings) as server,
    ):
        with (server.directory / "data" / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {FAR}/32 trust\n")
        here = Project(tmp_path, server.url("postgres"))
        here.query("SELECT pg_reload_conf()")
        yield Near(here, server)


@contextmanager
def running_there(project: Project, machine: str, time_outs: str) -> Iterator[None]:
    """Let the other machine run the project; it is killed when nobody hears of it."""
    there = URL.create("postgresql", "postgres", host=NEAR, port=5432, database="postgres")
    configured = project.folder / "alembic.ini"
    text = configured.read_text()
    Project(project.folder, there)
    command = ["ip", "netns", "exec", machine, sys.executable, "-c", CLIENT, time_outs]
    process = subprocess.Popen(command, cwd=project.folder, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()
        configured.write_text(text)


@pytest.mark.parametrize(
    ("time_outs", "least", "most"), [(HASTY, 1.0, 15.0), (SHIPPED, 40.0, 100.0)]
)
def test_the_lock_of_a_machine_that_vanished_is_free_when_its_time_is_up(
    near: Near, machine: str, time_outs: str, least: float, most: float
) -> None:
    if time_outs == SHIPPED and "PATIENT" not in os.environ:
        pytest.skip("this takes a minute: make hostile")
    project = near.here
    project.wrapped(a=WAIT, b="CREATE TABLE public.b (id int);\n")
    with ExitStack() as gate:
        gate.enter_context(holding(project, "SELECT pg_advisory_lock(42)"))
        with running_there(project, machine, time_outs):
            stuck_in(project, "%pg_advisory_xact_lock(42)%")
            ip("-n", machine, "addr", "flush", "dev", f"{NAME}b")
        began = time.monotonic()
        assert project.scalar(LOCKED) == 1
        assert "is at work" in project.ok("pgpipe", "status").output
        eventually(lambda: project.scalar(LOCKED) == 0, seconds=most)
        assert time.monotonic() - began > least
    project.ok("upgrade", "head")
    assert project.ledger() == {"a": "SUCCESS", "b": "SUCCESS"}
    assert project.outcomes("a") == [("upgrade", "INTERRUPTED"), ("upgrade", "SUCCESS")]
