"""Progress: what the server's views mean, when a line is due, and how it reads."""

from __future__ import annotations

from dataclasses import astuple, dataclass, field, replace
from typing import Any

import pytest

from alembic_pgpipe.showable import duration
from alembic_pgpipe.watching.beside import Reporter, Watching
from alembic_pgpipe.watching.blockers import WAITED_FOR, Blocker, Blockers
from alembic_pgpipe.watching.progress import (
    REPORTS,
    Activity,
    Progress,
    Schedule,
    activity_of,
    line,
    percent,
)

INDEX = {
    "command": "CREATE INDEX",
    "phase": "building index: scanning table",
    "lockers_total": 0,
    "lockers_done": 0,
    "blocks_total": 30_000,
    "blocks_done": 12_300,
    "tuples_total": 0,
    "tuples_done": 0,
    "partitions_total": 0,
    "partitions_done": 0,
}
CLUSTER = {
    "command": "VACUUM FULL",
    "phase": "seq scanning heap",
    "heap_tuples_scanned": 700,
    "heap_tuples_written": 350,
    "heap_blks_total": 10,
    "heap_blks_scanned": 3,
    "index_rebuild_count": 0,
}
# Columns that PostgreSQL 14 to 16 have; 17 has other ones.
VACUUM = {
    "phase": "scanning heap",
    "heap_blks_total": 200,
    "heap_blks_scanned": 50,
    "heap_blks_vacuumed": 20,
    "index_vacuum_count": 0,
    "max_dead_tuples": 291,
    "num_dead_tuples": 5,
}
ANALYZE = {
    "phase": "acquiring sample rows",
    "sample_blks_total": 8,
    "sample_blks_scanned": 8,
    "ext_stats_total": 2,
    "ext_stats_computed": 1,
}
COPY = {
    "command": "COPY FROM",
    "type": "PIPE",
    "bytes_processed": 12_300_000,
    "bytes_total": 0,
    "tuples_processed": 410_000,
}


@pytest.mark.parametrize(
    ("view", "columns", "meaning"),
    [
        (
            "create_index",
            INDEX,
            Activity("building index: scanning table", 12_300, 30_000, "blocks"),
        ),
        (
            "create_index",
            INDEX | {"phase": "building index: loading tuples in tree", "tuples_total": 9},
            Activity("building index: loading tuples in tree", 0, 9, "rows"),
        ),
        (
            "create_index",
            INDEX
            | {"phase": "waiting for old snapshots", "lockers_total": 3, "lockers_done": 1},
            Activity("waiting for old snapshots", 1, 3, "lock holders"),
        ),
        (
            "create_index",
            INDEX | {"partitions_total": 8, "partitions_done": 2},
            Activity(
                "building index: scanning table, partition 3 of 8", 12_300, 30_000, "blocks"
            ),
        ),
        ("cluster", CLUSTER, Activity("VACUUM FULL: seq scanning heap", 3, 10, "blocks")),
        (
            "cluster",
            CLUSTER | {"phase": "writing new heap"},
            Activity("VACUUM FULL: writing new heap", 350, 700, "rows"),
        ),
        (
            "cluster",
            CLUSTER | {"phase": "index scanning heap"},
            Activity("VACUUM FULL: index scanning heap", 700, None, "rows"),
        ),
        (
            "cluster",
            CLUSTER | {"phase": "swapping relation files"},
            Activity("VACUUM FULL: swapping relation files"),
        ),
        ("vacuum", VACUUM, Activity("VACUUM: scanning heap", 50, 200, "blocks")),
        (
            "vacuum",
            VACUUM | {"phase": "vacuuming heap"},
            Activity("VACUUM: vacuuming heap", 20, 200, "blocks"),
        ),
        (
            "vacuum",
            VACUUM | {"phase": "vacuuming indexes"},
            Activity("VACUUM: vacuuming indexes", 0, None, "indexes"),
        ),
        (
            "vacuum",
            VACUUM | {"phase": "vacuuming indexes", "indexes_total": 4, "indexes_processed": 1},
            Activity("VACUUM: vacuuming indexes", 1, 4, "indexes"),
        ),
        ("analyze", ANALYZE, Activity("ANALYZE: acquiring sample rows", 8, 8, "blocks")),
        ("copy", COPY, Activity("COPY FROM: 410,000 rows", 12_300_000, None, "bytes")),
    ],
)
def test_what_the_views_say(view: str, columns: dict[str, Any], meaning: Activity) -> None:
    assert activity_of([(view, columns)]) == meaning


def test_no_rows_mean_no_activity() -> None:
    assert activity_of([]) is None


@pytest.mark.parametrize(
    ("activity", "text"),
    [
        (None, ""),
        (
            Activity("building index: scanning table", 12_300, 30_000, "blocks"),
            "; building index: scanning table, 41 % (12,300 of 30,000 blocks)",
        ),
        (
            Activity("COPY FROM: 9 rows", 2_000_000, 8_000_000, "bytes"),
            "; COPY FROM: 9 rows, 25 % (2.0 MB of 8.0 MB)",
        ),
        (
            Activity("COPY FROM: 9 rows", 12_300_000, None, "bytes"),
            "; COPY FROM: 9 rows, 12.3 MB",
        ),
        (Activity("VACUUM: truncating heap"), "; VACUUM: truncating heap"),
    ],
)
def test_how_a_line_reads(activity: Activity | None, text: str) -> None:
    progress = Progress("20260301_backfill", 7, 1_200, 40.9, activity)
    assert line(progress) == f"  … 20260301_backfill: statement 7 of 1,200, 40 s{text}"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (200, "3 min 20 s"),
        (3_600, "1 h 0 min"),
        (7_500, "2 h 5 min"),
    ],
)
def test_how_durations_read(seconds: float, text: str) -> None:
    assert duration(seconds) == text


IDLE = Blocker(5224, "shop", "idle in transaction", 252.0, "SELECT *\n  FROM orders")
NAMED = "blocked by process 5224 (shop, idle in transaction, for 4 min 12 s)"


@pytest.mark.parametrize(
    ("blocker", "text"),
    [
        (IDLE, f"{NAMED}: SELECT * FROM orders"),
        (replace(IDLE, query=None), NAMED),
        (
            Blocker(5224, "shop", None, None, None),
            "blocked by process 5224 (shop, state unknown)",
        ),
        (replace(IDLE, query="x" * 200), f"{NAMED}: {'x' * 80}"),
    ],
)
def test_how_a_blocker_is_named(blocker: Blocker, text: str) -> None:
    assert str(blocker) == text


@pytest.mark.parametrize(
    ("activity", "others", "text"),
    [
        (None, 0, f"; {NAMED}: SELECT * FROM orders"),
        (None, 1, f"; {NAMED}: SELECT * FROM orders (and 1 other)"),
        (
            Activity("VACUUM: truncating heap"),
            2,
            f"; VACUUM: truncating heap; {NAMED}: SELECT * FROM orders (and 2 others)",
        ),
    ],
)
def test_how_a_line_reads_while_a_statement_waits(
    activity: Activity | None, others: int, text: str
) -> None:
    blockers = (IDLE, *[Blocker(7, "a", None, None, None)] * others)
    progress = Progress("a1", 1, 1, 10.0, activity, blockers)
    assert line(progress) == f"  … a1: statement 1 of 1, 10 s{text}"


def test_nothing_is_done_to_100_percent_before_it_is() -> None:
    assert percent(Activity("", 999, 1_000, "rows")) == "99 %"
    assert percent(Activity("", 1_001, 1_000, "rows")) == "100 %"


@pytest.mark.parametrize(
    ("number", "total", "activity", "share"),
    [
        (1, 1, None, None),
        (1, 4, None, 0.0),
        (3, 4, None, 0.5),
        (3, 4, Activity("", 1, 10), 0.1),
        (3, 4, Activity("", 11, 10), 1.0),
        (3, 4, Activity("", 7), 0.5),
    ],
)
def test_a_bar_is_as_long_as_what_is_known(
    number: int, total: int, activity: Activity | None, share: float | None
) -> None:
    assert Progress("a1", number, total, 0.0, activity).share == share


def test_a_line_is_due_after_10_seconds_and_then_every_30() -> None:
    schedule, times = Schedule(), list[int]()
    said: float | None = None
    for second in range(101):
        if schedule.due(second, said):
            said = second
            times.append(second)
    assert times == [10, 40, 70, 100]


# -- who says it -------------------------------------------------------------------------


@dataclass
class World:
    """A clock that moves by hand, a server, a log and a display."""

    now: float = 100.0
    slowness: float = 0.0
    asked: int = 0
    said: list[str] = field(default_factory=list)
    shown: list[Progress] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)
    waits_for: list[Blocker] = field(default_factory=list)

    def ask(self, sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Answer as the server would."""
        self.now += self.slowness
        if sql == WAITED_FOR:
            return [astuple(blocker) for blocker in self.waits_for]
        assert sql == REPORTS
        assert values == {"pid": 7}
        self.asked += 1
        return [("create_index", INDEX)]

    def show(self, progress: Progress) -> None:
        """Be a display."""
        self.shown.append(progress)

    def hide(self) -> None:
        """Be a display."""

    def watching(self, *, display: bool) -> Watching:
        """Return what watches a statement of this world."""
        shown = self if display else None
        reporter = Reporter("a1", 7, self.ask, self.said.append, shown, clock=lambda: self.now)
        keep = self.kept.append
        return Watching(
            Blockers(self.ask, 7), reporter, lambda: keep(self.now), clock=lambda: self.now
        )


def test_the_server_is_asked_only_when_it_is_to_be_said() -> None:
    world = World()
    watching = world.watching(display=False)
    watching.begin(2, 3)
    for _ in range(12):
        watching.tick()
        world.now += 1
    assert world.asked == 1
    [line] = world.said
    assert line.startswith("  … a1: statement 2 of 3, 10 s; building index")


def test_whom_it_waited_for_is_said_only_while_it_does() -> None:
    world = World(waits_for=[IDLE])
    watching = world.watching(display=True)
    for second in range(50):
        if second == 20:
            world.waits_for.clear()
        watching.tick()
        world.now += 1
    waiting, later = world.said
    assert NAMED in waiting
    assert "blocked by" not in later
    assert [bool(shown.blockers) for shown in world.shown] == [True] * 19 + [False] * 30
    assert watching.blockers.named("55P03", None, "") == (IDLE,)


def test_many_short_statements_are_said_without_a_question() -> None:
    world = World()
    watching = world.watching(display=False)
    for number in range(1, 51):
        watching.begin(number, 50)
        world.now += 1
    assert world.asked == 0
    assert world.said == [
        "  … a1: statement 11 of 50, 10 s",
        "  … a1: statement 41 of 50, 40 s",
    ]


def test_a_display_is_there_after_a_moment_and_does_not_flicker() -> None:
    world = World()
    watching = world.watching(display=True)
    for number in range(1, 1_001):
        watching.begin(number, 1_000)
        world.now += 0.001
    assert 4 <= len(world.shown) <= 5
    assert world.shown[0].seconds >= 0.5
    assert world.said == []


def test_with_a_display_the_log_gets_its_lines_as_well() -> None:
    world = World()
    watching = world.watching(display=True)
    for _ in range(12):
        watching.tick()
        world.now += 1
    assert len(world.said) == 1
    assert len(world.shown) == 11


def test_a_slow_server_is_asked_rarely() -> None:
    world = World(slowness=0.5)
    watching = world.watching(display=True)
    for _ in range(60):
        watching.tick()
        world.now += 1
    assert world.asked <= 60 / 10
    assert world.asked >= 4
