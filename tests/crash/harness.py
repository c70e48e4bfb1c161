"""Disturb one run at a point, let the next one go on, and see what became of the promise."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from alembic_pgpipe.connect.lock import lock_key
from tests.conftest import connect_to
from tests.crash.arena import Arena, Ground, Ledger, Remains, Run, arena
from tests.crash.faults import Case, Deed
from tests.crash.points import SLOWLY, Finder, Kind, Point, Role
from tests.crash.projects import GATE_KEY, INDEX_KEY
from tests.crash.proxy import Side

DISTURBED = {"GITHUB_RUN_NUMBER": "41", "GITHUB_RUN_ID": "9041"}
NEXT = {"GITHUB_RUN_NUMBER": "42", "GITHUB_RUN_ID": "9042"}
UPGRADE = ("upgrade", "head")
RETRY = ("pgpipe", "retry")
HELD = 3
GHOST_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a case: both runs, what was there between them, and at the end.

    ``retried`` says that a person had to say ``retry`` before the next run.
    """

    first: Run
    between: Ledger | None
    effects: tuple[str, ...]
    next: Run
    retried: bool
    ledger: Ledger
    remains: Remains
    locks: int


def disturb(ground: Ground, case: Case) -> Seen:
    """Run a case."""
    with arena(ground, ground.models.of(case.point.kind)) as made:
        if case.fault.deed is Deed.CRASH:
            # A copy's sequences are safe from a crash only behind a checkpoint.
            ground.server.query("CHECKPOINT")
        _hold(made, case.point)
        first = made.run_into(Finder(case.point, made.here), case.fault, UPGRADE, DISTURBED)
        assert made.struck.is_set(), f"the point was not reached:\n{first.output}"
        between: Ledger | None = None
        effects: tuple[str, ...] = ()
        if case.fault.deed is Deed.VANISH:
            following = _beside_a_ghost(made)
        else:
            made.await_quiet()
            between, effects = made.ledger(), made.effects()
            following = made.run(UPGRADE, NEXT)
        retried = following.code == HELD
        if retried:
            made.run(RETRY, NEXT)
            following = made.run(UPGRADE, NEXT)
        made.await_quiet()
        ledger = made.ledger()
        if case.fault.deed is Deed.VANISH and ledger and ledger.builds.get("41", "") is None:
            # What was late came when the next run was through: the one after that sees it.
            made.run(UPGRADE, NEXT)
            ledger = made.ledger()
        assert ledger is not None, following.output
        return Seen(
            first, between, effects, following, retried, ledger, made.remains(), made.locks()
        )


def undisturbed(ground: Ground, kind: Kind) -> Remains:
    """Return what a run leaves that nothing has disturbed."""
    if kind not in ground.twins:
        with arena(ground, ground.models.of(kind)) as made:
            run = made.run(UPGRADE, DISTURBED)
            assert run.code == 0, run.output
            ground.twins[kind] = made.remains()
    return ground.twins[kind]


def _hold(made: Arena, point: Point) -> None:
    """Hold what the run is to wait for at its point, until the fault has happened."""
    key = None
    if point.side is Side.NOTICED:
        key = INDEX_KEY if point.pattern == SLOWLY else GATE_KEY
    elif point.kind is Kind.WAITING:
        key = lock_key("public")
    if key is not None:
        there = made.there if point.role is Role.ELSEWHERE else made.here
        holder = connect_to(made.ground.server.url(there or made.here))
        made.hold.callback(holder.close)
        with holder.cursor() as cursor:
            cursor.execute("BEGIN; SELECT pg_advisory_xact_lock(%s)", (key,))


def _beside_a_ghost(made: Arena) -> Run:
    """Let the next run meet what the server believes to be a living one."""
    client = made.start(UPGRADE, NEXT)
    timer = threading.Timer(GHOST_SECONDS, made.lay)
    timer.start()
    try:
        return made.wait(client)
    finally:
        timer.cancel()
        made.lay()
