"""Unit tests open no connection."""

from __future__ import annotations

from typing import NoReturn

import psycopg2
import pytest


@pytest.fixture(autouse=True)
def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a unit test that connects to a database."""

    def refuse(*_arguments: object, **_options: object) -> NoReturn:
        pytest.fail("a unit test opened a database connection; move it to tests/integration")

    monkeypatch.setattr(psycopg2, "connect", refuse)
