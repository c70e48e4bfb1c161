"""``alembic pgpipe close``: give this build its outcome, whatever failed before."""

from __future__ import annotations

import os
import re
import shlex
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from alembic.config import Config

from alembic_pgpipe.connect.lock import holder_of
from alembic_pgpipe.environment.visit import Visit
from alembic_pgpipe.errors import LockError, PgpipeError, SettingsError
from alembic_pgpipe.ledger.build import (
    HEADING,
    STATUS_VARIABLES,
    current_build,
    heading,
    numbers_taken,
    own_signature,
    row_numbers,
    said_to_succeed,
)
from alembic_pgpipe.ledger.build_rows import BuildRows
from alembic_pgpipe.ledger.cases import Case, build_cases, tried_cases
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.ledger.tables import ATTEMPTS, BUILDS
from alembic_pgpipe.model import Build, BuildRecord, Holder
from alembic_pgpipe.project import OpenLedger, open_ledger, visit_project
from alembic_pgpipe.run.journal import JOURNAL_LOCK_TIMEOUT
from alembic_pgpipe.run.log_file import log_of
from alembic_pgpipe.settings import read_settings

WAIT_SECONDS = 10.0
POLL_SECONDS = 0.5
SUCCESS, FAILURE = "SUCCESS", "FAILURE"
# How much of a row's end must be found in the log file to know what comes after it.
SEAM = 500
DIED = "its run had died"
FAILED_LATER = "its run succeeded; what failed or was cancelled came after it"
NO_LOG = "no command of this build has left a word in the log file; the CI system's log has it"
UNSAID = (
    f"Nothing here says whether the build succeeded ({', '.join(STATUS_VARIABLES)} are not "
    "set). Say it: alembic pgpipe close --status success, or --status failure"
)


@dataclass(frozen=True, slots=True)
class ClosedBuild:
    """A build's row as it is now, and what the build made of each revision.

    ``what`` says how the row was found.  ``error`` is why it could not be closed;
    ``succeeded`` is then what was asked for, and there are no cases.
    """

    number: str
    succeeded: bool
    what: str
    log: str
    database: str = ""
    cases: tuple[Case, ...] = ()
    notes: tuple[str, ...] = ()
    error: PgpipeError | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a build ends: what the CI system says, and what the log file holds of it."""

    build: Build
    succeeded: bool
    log: str


@dataclass(frozen=True, slots=True)
class Closing:
    """What becomes of a build's row: its outcome, and what is added to its log."""

    what: str
    succeeded: bool
    added: str = ""


def close(
    config: Config, *, succeeded: bool | None = None, timeout: float = WAIT_SECONDS
) -> ClosedBuild:
    """Give the row of this build its outcome; a build without a row gets one.

    ``succeeded`` is what the CI system's variables say where it is None.  A run of this
    build that lives is waited for, ``timeout`` seconds.  The result has the error where
    the database cannot be reached or refuses.  Raises SettingsError where nothing says
    how the build stands.
    """
    settings = read_settings(config)
    build = current_build(os.environ, settings.build_number_env)
    said = said_to_succeed(os.environ) if succeeded is None else succeeded
    if said is None:
        raise SettingsError(UNSAID)
    ending = Ending(build, said, log_of(build, settings.log_file))
    try:
        return visit_project(config, lambda visit: _close(visit, ending, timeout))
    except PgpipeError as error:
        return ClosedBuild(build.number, said, "not closed", ending.log, error=error)


def _close(visit: Visit, ending: Ending, timeout: float) -> ClosedBuild:
    with open_ledger(visit) as ledger:
        number, closing = _settle(ledger, ending, timeout)
        record = ledger.recorder.builds.build(number)
        cases, notes = _cases(ledger, ending.build, record)
        return ClosedBuild(
            number=number,
            succeeded=closing.succeeded,
            what=closing.what,
            log=record.logs if record is not None else "",
            database=ledger.database.label,
            cases=cases,
            notes=notes,
        )


# -- the row -----------------------------------------------------------------------------


def _settle(ledger: OpenLedger, ending: Ending, timeout: float) -> tuple[str, Closing]:
    """Close the row as soon as no run of this build lives; LockError where one does."""
    deadline = time.monotonic() + timeout
    while True:
        with ledger.database.connect() as connection, connection.begin():
            connection.exec_driver_sql(JOURNAL_LOCK_TIMEOUT)
            builds = Recorder.on(connection, ledger.recorder.schema).builds
            if BUILDS in ledger.missing:
                builds.create()
            number, record, free = _own_row(builds, ending.build)
            if free:
                kept = replace(ending, log=builds.held(ending.log))
                return number, _write(builds, number, record, kept)
            alive = holder_of(connection, builds.alive_key(number))
        if time.monotonic() >= deadline:
            raise LockError(_still_at_work(number, alive))
        time.sleep(POLL_SECONDS)


def _own_row(builds: BuildRows, build: Build) -> tuple[str, BuildRecord | None, bool]:
    """Return the number of a build's row, the row, and whether no run of it lives."""
    own = builds.held(own_signature(build))
    for number in row_numbers(build):
        # Nobody may open the row between a look and the closing.
        free = builds.reserve_build(number)
        record = builds.build(number)
        if record is None or own in record.logs:
            return number, record, free
    raise numbers_taken(build, builds.schema)


def _write(
    builds: BuildRows, number: str, record: BuildRecord | None, ending: Ending
) -> Closing:
    closing = judge(record, ending)
    if record is None:
        now = datetime.now(timezone.utc)
        log = ending.log or f"{heading(ending.build, now)}\n{NO_LOG}\n"
        builds.add_build(number, log + closing.added, closing.succeeded)
    elif closing.added:
        builds.close_build(number, closing.succeeded, closing.added)
    return closing


def judge(record: BuildRecord | None, ending: Ending) -> Closing:
    """Return what becomes of a build's row; None is a row that no run has opened."""
    if record is None:
        outcome = SUCCESS if ending.succeeded else FAILURE
        return Closing("it had no row", ending.succeeded, f"{outcome}\n")
    if record.status == SUCCESS and ending.succeeded:
        return Closing("it was closed already", succeeded=True)
    if record.status == FAILURE:
        # A build that is run again, maybe elsewhere, may fail before its run.
        more = "" if ending.succeeded else told_apart(record.logs, ending.log)
        added = f"\n{more}{FAILURE}\n" if more else ""
        return Closing("it was closed already", succeeded=False, added=added)
    what = DIED if record.status is None else FAILED_LATER
    added = (
        f"{unsaid(record.logs, ending.log)}closed by alembic pgpipe close: {what}\n{FAILURE}\n"
    )
    return Closing(what, succeeded=False, added=added)


def told_apart(row: str, file: str) -> str:
    """Return what a log file has under headings of which a row knows nothing."""
    parts = re.split(f"^(?={HEADING})", file, flags=re.MULTILINE)
    return "".join(part for part in parts if part and part.splitlines()[0] not in row)


def unsaid(row: str, file: str) -> str:
    """Return what a log file has that the row of the same build lacks."""
    seam = row.strip()[-SEAM:]
    behind = file.rpartition(seam)[2] if seam else file
    return behind.strip() + "\n" if behind.strip() else ""


def _still_at_work(number: str, alive: Holder | None) -> str:
    who = f" (server process {alive.pid})" if alive is not None else ""
    return (
        f"Build {number} was not closed: a run of it is still at work{who}, and closes it "
        f"itself. See how far it is: alembic pgpipe log {shlex.quote(number)}. Where the run "
        "is gone, its connection ends within a minute; then: alembic pgpipe close"
    )


# -- its revisions -----------------------------------------------------------------------


def _cases(
    ledger: OpenLedger, build: Build, record: BuildRecord | None
) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """Return a case for each revision; broken revisions must not keep a build open."""
    since = _began(build, record)
    known = ATTEMPTS not in ledger.missing
    attempts = ledger.recorder.reading.attempts_in(build, since) if known else ()
    try:
        revisions = ledger.visit.revisions
        applied = revisions.applied(ledger.heads)
        return build_cases(revisions.all(), ledger.history(), attempts, applied), ()
    except PgpipeError as error:
        return tried_cases(attempts), (f"the other revisions are not shown: {error}",)


def _began(build: Build, record: BuildRecord | None) -> datetime | None:
    """Return since when attempts count: at a desk all runs are one build."""
    desk = not own_signature(build)
    return record.started_at if desk and record is not None else None
