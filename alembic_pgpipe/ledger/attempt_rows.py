"""Attempts as rows of ``migration_attempts``, and what those rows say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from alembic_pgpipe.ledger.tables import NAME_LIMIT
from alembic_pgpipe.model import (
    Attempt,
    Build,
    Direction,
    Failure,
    Outcome,
    Remnant,
    RemnantKind,
    Revision,
    UnderWay,
)

# The number of the row that has the log of an attempt's build; see ``row_numbers``.
NUMBER_OF_ROW = "number_of_row"
NO_PROGRESS: Mapping[str, Any] = MappingProxyType(
    {
        "statements_done": 0,
        "statement_hashes": [],
        "statement_texts": [],
        "under_way": None,
        "session": None,
    }
)


def attempt_values(
    revision: Revision, direction: Direction, outcome: Outcome, build: Build
) -> dict[str, Any]:
    """Return what a row says of an attempt from its beginning on."""
    return {
        "migration_name": revision.name[:NAME_LIMIT],
        "revision": revision.id,
        "direction": direction.value,
        "outcome": outcome.value,
        "build_number": build.number,
        "build_id": build.id,
        "commit_hash": build.commit,
        "who": build.who,
    }


def progress_values(before: Attempt) -> dict[str, Any]:
    """Return what a further attempt at the same step knows from the one before."""
    return {
        "statements_done": len(before.statement_hashes),
        "statement_hashes": list(before.statement_hashes),
        "statement_texts": list(before.statement_texts),
        "under_way": under_way_values(before.under_way) if before.under_way else None,
        "session": session_values(before.session),
    }


def under_way_values(statement: UnderWay) -> dict[str, Any]:
    """Return what a row says of the statement that is under way."""
    session = session_values(statement.session) if statement.session is not None else None
    return {**asdict(statement), "session": session}


def session_values(session: Iterable[Remnant]) -> list[list[str | None]]:
    """Return what a row says of what a source has left in its session."""
    return [[one.kind.value, one.name, one.value] for one in session]


def failure_values(failure: Failure) -> dict[str, Any]:
    """Return what a row says of why an attempt failed."""
    return {
        "sqlstate": failure.sqlstate,
        "message": failure.text,
        "file": failure.file,
        "line": failure.line,
        "column_number": failure.column,
    }


def attempt_of(values: Any) -> Attempt:
    """Return the attempt that a row, by its columns' names, tells of."""
    return Attempt(
        id=values["id"],
        revision=values["revision"],
        direction=Direction(values["direction"]),
        outcome=Outcome(values["outcome"]),
        checksum=values["checksum"],
        build_number=values[NUMBER_OF_ROW],
        build_id=values["build_id"],
        who=values["who"],
        reason=values["reason"],
        started_at=values["started_at"],
        finished_at=values["finished_at"],
        statement_hashes=tuple(values["statement_hashes"][: values["statements_done"]]),
        statement_texts=tuple(values["statement_texts"][: values["statements_done"]]),
        under_way=_under_way(values["under_way"]),
        session=_session(values["session"]),
        statements_total=values["statements_total"],
        transaction_id=values["transaction_id"],
        name=values["migration_name"],
        message=values["message"],
        sqlstate=values["sqlstate"],
        duration_ms=values["duration_ms"],
        directives=values["directives"],
    )


def _session(values: list[list[Any]] | None) -> tuple[Remnant, ...]:
    return tuple(Remnant(RemnantKind(kind), name, value) for kind, name, value in values or ())


def _under_way(values: dict[str, Any] | None) -> UnderWay | None:
    if values is None:
        return None
    seen, left, session = tuple(values["seen"]), values["left"], values["session"]
    lists = {
        "seen": seen,
        "left": tuple(left) if left is not None else None,
        "session": _session(session) if session is not None else None,
    }
    return UnderWay(**{**values, **lists})
