"""A run reads little of the ledger; what all of it would say, it finds, in random ledgers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL, create_engine, delete, insert

from alembic_pgpipe.ledger.agreement import Evidence, agreement
from alembic_pgpipe.ledger.history import BEFORE_THE_LEDGER, match_history
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.ledger.script import REASON
from alembic_pgpipe.ledger.states import UNSETTLED
from alembic_pgpipe.model import Direction, Outcome, Status
from alembic_pgpipe.revisions.history_map import use_history_map
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.run.known import Known
from alembic_pgpipe.settings import read_settings
from tests.random_history import Kind, Made, write_project

# Two branches and their merge, and another line: more than one head may be applied.
HISTORY = [
    Made("a"),
    Made("b", ("a",)),
    Made("c", ("a",)),
    Made("d", ("b", "c")),
    Made("e", ("d",), kind=Kind.PYTHON),
    Made("x"),
]
IDS = [made.id for made in HISTORY]
NAMES = [f"{made.id}_x" if made.kind is Kind.PYTHON else made.id for made in HISTORY]
# What is mostly there, so that a ledger is not always a ruin.
USUAL = st.sampled_from((*[Status.SUCCESS] * 12, *Status)).map(lambda status: status.value)
OUTCOMES = st.sampled_from((*[Outcome.SUCCESS] * 5, *Outcome))
REASONS = st.sampled_from((None, None, BEFORE_THE_LEDGER, REASON))
often = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@dataclass(frozen=True)
class Ledger:
    """Random rows and attempts, in their order, and what ``alembic_version`` holds."""

    rows: list[tuple[str, str, str]]
    attempts: list[tuple[str, Direction, Outcome, str | None]]
    heads: list[str]


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """Draw a ledger: rows by id or by name, lost ones, odd ones and those of others."""
    lost = draw(st.sets(st.sampled_from(IDS), max_size=2))
    rows = [
        (id_, name, draw(USUAL))
        for id_, name in zip(IDS, NAMES, strict=True)
        if id_ not in lost
    ]
    status = st.one_of(USUAL, st.just("ODD"))
    named = st.tuples(st.sampled_from([*NAMES, "stranger"]), status)
    rows += [
        (f"row {number}", *row) for number, row in enumerate(draw(st.lists(named, max_size=3)))
    ]
    ways = st.sampled_from((Direction.UPGRADE, Direction.UPGRADE, Direction.DOWNGRADE))
    attempt = st.tuples(st.sampled_from([*IDS, "stranger"]), ways, OUTCOMES, REASONS)
    heads = st.sampled_from((["e", "x"], ["e", "x"], ["e", "d"], ["d"], ["b", "c"], ["c"], []))
    some = draw(st.lists(attempt, max_size=6))
    return Ledger(draw(st.permutations(rows)), some, draw(heads))


@pytest.fixture
def recorder(database: URL) -> Iterator[Recorder]:
    """Give the recorder of an empty ledger."""
    with create_engine(database).connect() as connection:
        made = Recorder.on(connection, "public")
        made.relations.create()
        yield made
        connection.rollback()


def fill(recorder: Recorder, ledger: Ledger) -> None:
    """Write a ledger in place of the one before."""
    connection, tables = recorder.connection, recorder.tables
    connection.execute(delete(tables.migrations))
    connection.execute(delete(tables.attempts))
    rows = [
        {
            "id": id_,
            "migration_name": name,
            "applied_status": status,
            "started_at": datetime(2026, 1, 1, 0, 0, number, tzinfo=timezone.utc),
        }
        for number, (id_, name, status) in enumerate(ledger.rows)
    ]
    attempts = [
        {
            "migration_name": revision,
            "revision": revision,
            "direction": direction.value,
            "outcome": outcome.value,
            "reason": reason,
            "build_number": "7",
            "build_id": "7",
            "who": "ann",
        }
        for revision, direction, outcome, reason in ledger.attempts
    ]
    connection.execute(insert(tables.migrations), rows)
    if attempts:
        connection.execute(insert(tables.attempts), attempts)


@pytest.fixture
def known(recorder: Recorder, tmp_path: Path) -> Known:
    """Give what a run asks that ledger."""
    ini = write_project(tmp_path, HISTORY)
    script = ScriptDirectory.from_config(Config(ini))
    use_history_map(script)
    config = read_settings(Config(ini))
    return Known(ProjectRevisions(script, config), recorder.reading)


def everything(known: Known, heads: list[str]) -> Evidence:
    """Return the evidence with all that the ledger holds."""
    revisions, reading = known.revisions, known.reading
    history = match_history(revisions.all(), reading.rows(), reading.attempts())
    return Evidence(
        revisions.all(),
        revisions.applied(heads),
        history,
        behind=revisions.behind(heads),
        running=True,
    )


WELL = [(id_, name, "SUCCESS") for id_, name in zip(IDS, NAMES, strict=True)]
OPEN = ("a", Direction.UPGRADE, Outcome.RUNNING, None)
# The row of a revision that is applied has the name of one that has no row.
MISNAMED = [(id_, "x" if id_ == "a" else name, status) for id_, name, status in WELL[:-1]]
# A revision has no row, and something else has one whose id only begins like it.
LIKE_ANOTHER = [*(row for row in WELL if row[0] != "a"), ("a@1", "stranger", "SUCCESS")]


@often
@given(ledgers())
@example(Ledger(WELL, [OPEN], ["e", "x"]))
@example(Ledger(MISNAMED, [], ["e"]))
@example(Ledger(LIKE_ANOTHER, [], ["e", "x"]))
def test_a_run_finds_what_all_of_the_ledger_says(
    known: Known, recorder: Recorder, ledger: Ledger
) -> None:
    fill(recorder, ledger)
    little, whole = known.evidence(ledger.heads), everything(known, ledger.heads)
    assert agreement(little).findings == agreement(whole).findings
    assert {one.id for one in little.revisions} >= open_ones(whole)
    for one in little.revisions:
        assert little.history.rows.get(one.id) == whole.history.rows.get(one.id)
        for way in Direction:
            assert little.history.last_try(one.id, way) == whole.history.last_try(one.id, way)
    assert known.settled(ledger.heads) == is_settled(whole)


def open_ones(whole: Evidence) -> set[str]:
    """Return the revisions with which a run may have something to do."""
    history = whole.history
    return {
        one.id
        for one in whole.revisions
        if one.id not in whole.passed
        or one.id not in history.rows
        or history.rows[one.id].status in UNSETTLED
    }


def is_settled(whole: Evidence) -> bool:
    """Return whether there is nothing to do but what is ahead."""
    if agreement(whole).findings or whole.history.left_open:
        return False
    return not open_ones(whole).intersection(whole.passed)
