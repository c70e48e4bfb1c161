"""A connection as commands have it: each statement commits by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.pool import NullPool


@pytest.fixture
def connection(database: URL) -> Iterator[Connection]:
    engine = create_engine(database, poolclass=NullPool)
    with engine.connect() as opened:
        yield opened.execution_options(isolation_level="AUTOCOMMIT", no_parameters=True)
