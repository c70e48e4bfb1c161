"""Fixtures: a server that may be crashed, and the process that clients are forked from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.arena import Ground
from tests.crash.server import CrashServer, crash_server
from tests.crash.zygote import Zygote, zygote
from tests.scratch_folder import scratch_folder


@pytest.fixture(scope="session")
def crashing() -> Iterator[CrashServer]:
    """Give the session's server for crashes."""
    with (
        scratch_folder() as folder,
        crash_server(folder / "scratch") as server,
    ):
        yield server


@pytest.fixture(scope="session")
def forked() -> Iterator[Zygote]:
    """Give the process that clients are forked from."""
    with zygote() as running:
        yield running


@pytest.fixture(scope="session")
def ground(crashing: CrashServer, forked: Zygote) -> Iterator[Ground]:
    """Give what the cases of the matrix share."""
    with scratch_folder() as folder:
        yield Ground.on(crashing, forked, folder)
