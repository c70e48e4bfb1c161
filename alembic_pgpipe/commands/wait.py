"""``alembic pgpipe wait``: until the database answers, or the time is up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace

from alembic.config import Config

from alembic_pgpipe.connect.connector import ANSWER_SECONDS, IMPATIENT
from alembic_pgpipe.connect.database import open_database
from alembic_pgpipe.environment.visit import Visit
from alembic_pgpipe.errors import UnreachableError
from alembic_pgpipe.project import visit_project

PAUSE_SECONDS = 1.0


def wait(
    config: Config, *, timeout: float, say: Callable[[str], None] = lambda line: None
) -> str:
    """Wait until the database answers a query; return its label.

    ``timeout`` is in seconds; ``say`` hears each new reason why it does not answer.
    Raises UnreachableError with the last reason when the time is up, and at once where
    waiting does not help: no secret, no permission, a certificate that is not
    believed, unless it is only not valid yet.
    """
    return visit_project(config, lambda visit: _wait(visit, timeout, say))


def _wait(visit: Visit, timeout: float, say: Callable[[str], None]) -> str:
    deadline = time.monotonic() + timeout
    told = ""
    while True:
        try:
            return _ask(visit, deadline - time.monotonic())
        except UnreachableError as error:
            if error.final:
                raise
            if time.monotonic() + PAUSE_SECONDS > deadline:
                raise UnreachableError(f"Gave up after {timeout:g} s. {error}") from error
            if str(error) != told:
                told = str(error)
                say(told)
        time.sleep(PAUSE_SECONDS)


def _ask(visit: Visit, seconds: float) -> str:
    # The loop has its own pauses, and the time that was given; libpq counts from two.
    once = replace(IMPATIENT, answer=max(2, min(ANSWER_SECONDS, int(seconds))))
    with (
        open_database(visit.settings, os.environ, hide=visit.hide, waiting=once) as database,
        database.connect(),
    ):
        return database.label
