"""One psql and one recording server for the session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.psql.client import MAJOR, Psql, find_psql, recorded_psql


@pytest.fixture(scope="session")
def psql() -> Iterator[Psql]:
    """Give a psql whose messages are recorded."""
    program = find_psql()
    if program is None:
        pytest.skip(f"there is no psql {MAJOR} here")
    with recorded_psql(program) as found:
        yield found
