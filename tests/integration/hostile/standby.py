"""A server that only answers: a hot standby of a data folder that a scratch server has left."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from sqlalchemy import URL

from alembic_pgpipe.scratch.binaries import (
    find_binaries,
    server_account,
    server_environment,
)
from tests.conftest import connect_to

SECONDS = 30


@contextmanager
def hot_standby(home: Path, url: URL, socket: Path) -> Iterator[URL]:
    """Start the data below ``home`` in recovery; ``url`` is that of the old server."""
    account = server_account(home / "data")
    account.own(socket)
    signal = home / "data" / "standby.signal"
    signal.touch()
    account.own(signal)
    with (home / "standby.log").open("wb") as log:
        options = ("-k", str(socket), "-c", "listen_addresses=", "-c", "fsync=off")
        server = subprocess.Popen(
            [find_binaries(os.environ, account).folder / "postgres", "-D", ".", *options],
            stdout=log,
            stderr=log,
            cwd=home / "data",
            env=server_environment(os.environ),
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
        )
    try:
        standby = url.set(query={**url.query, "host": str(socket)})
        _await(standby)
        yield standby
    finally:
        server.terminate()
        server.wait(SECONDS)


def _await(url: URL) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            connect_to(url).close()
            return
        except psycopg2.OperationalError:
            assert time.monotonic() < deadline, "the standby does not answer"
            time.sleep(0.05)
