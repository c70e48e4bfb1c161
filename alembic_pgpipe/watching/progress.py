"""How far a long step is: what is known of it, and when and how that is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alembic_pgpipe.showable import counted, duration
from alembic_pgpipe.watching.blockers import Blocker

MEGABYTE = 1_000_000
VIEWS = ("create_index", "cluster", "vacuum", "analyze", "copy")
# Whole rows, because their columns differ from one version of PostgreSQL to the next.  Who may
# not see what a process does gets a row all the same, in which even the table is missing.
REPORTS = " UNION ALL ".join(
    f"SELECT '{view}', pg_catalog.to_jsonb(v) "
    f"FROM pg_catalog.pg_stat_progress_{view} AS v "
    "WHERE v.pid = %(pid)s AND v.relid IS NOT NULL"
    for view in VIEWS
)
# View, what its phase has in it, and what then counts: done, total and their unit.
COUNTS: tuple[tuple[str, str, str, str, str], ...] = (
    ("create_index", "waiting", "lockers_done", "lockers_total", "lock holders"),
    ("create_index", "tuples", "tuples_done", "tuples_total", "rows"),
    ("create_index", "", "blocks_done", "blocks_total", "blocks"),
    ("cluster", "seq scanning", "heap_blks_scanned", "heap_blks_total", "blocks"),
    ("cluster", "index scanning", "heap_tuples_scanned", "", "rows"),
    ("cluster", "writing", "heap_tuples_written", "heap_tuples_scanned", "rows"),
    ("cluster", "rebuilding", "index_rebuild_count", "", "indexes"),
    ("vacuum", "scanning", "heap_blks_scanned", "heap_blks_total", "blocks"),
    ("vacuum", "vacuuming heap", "heap_blks_vacuumed", "heap_blks_total", "blocks"),
    ("vacuum", "indexes", "indexes_processed", "indexes_total", "indexes"),
    ("analyze", "acquiring", "sample_blks_scanned", "sample_blks_total", "blocks"),
    ("analyze", "extended", "ext_stats_computed", "ext_stats_total", "statistics"),
    ("copy", "", "bytes_processed", "bytes_total", "bytes"),
)


@dataclass(frozen=True, slots=True)
class Activity:
    """What the server says that a statement is doing; ``total`` is None if it is unknown."""

    doing: str
    done: int = 0
    total: int | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step is: statement ``number`` of ``total`` is under way.

    ``seconds`` is how long the step has run; ``blockers`` are whom the statement waits for.
    """

    revision: str
    number: int
    total: int
    seconds: float
    activity: Activity | None = None
    blockers: tuple[Blocker, ...] = ()

    @property
    def share(self) -> float | None:
        """Return how much is done, from 0 to 1: of the statement if known, else of all."""
        activity = self.activity
        if activity is not None and activity.total:
            return min(activity.done / activity.total, 1.0)
        return (self.number - 1) / self.total if self.total > 1 else None


@dataclass(frozen=True, slots=True)
class Schedule:
    """When plain lines are due: seconds until the first one, and between two of them."""

    first: float = 10.0
    every: float = 30.0

    def due(self, seconds: float, said: float | None) -> bool:
        """Tell whether to say a line now, ``said`` being when one was said before.

        Both are seconds since the step began.
        """
        return seconds >= self.first if said is None else seconds - said >= self.every


def activity_of(rows: Sequence[tuple[Any, ...]]) -> Activity | None:
    """Return what a server process is doing, from the rows of its answer to ``REPORTS``."""
    for view, columns in rows:
        phase = columns.get("phase") or ""
        for its_view, part, done, total, unit in COUNTS:
            if view == its_view and part in phase:
                goal = columns.get(total) or None
                return Activity(_doing(view, columns), columns.get(done) or 0, goal, unit)
        return Activity(_doing(view, columns))
    return None


def _doing(view: str, columns: Mapping[str, Any]) -> str:
    if view == "copy":
        return f"{columns['command']}: {columns['tuples_processed']:,} rows"
    phase = str(columns["phase"])
    if view != "create_index":
        return f"{columns.get('command', view.upper())}: {phase}"
    partitions = columns.get("partitions_total")
    which = f", partition {columns['partitions_done'] + 1:,} of {partitions:,}"
    return phase + which if partitions else phase


def line(progress: Progress) -> str:
    """Return a line of the log that says how far a step is."""
    where = f"statement {progress.number:,} of {progress.total:,}"
    said = [f"  … {progress.revision}: {where}, {duration(progress.seconds)}"]
    if progress.activity is not None:
        said.append(", ".join(filter(None, _said(progress.activity))))
    if progress.blockers:
        said.append(_waiting(progress.blockers))
    return "; ".join(said)


def _waiting(blockers: Sequence[Blocker]) -> str:
    """Return who is in the way; of many, the one whose transaction is the oldest."""
    first, *others = blockers
    return f"{first} (and {counted(len(others), 'other')})" if others else str(first)


def _said(activity: Activity) -> tuple[str, str]:
    if not activity.total:
        done = _amount(activity.done, activity.unit) if activity.done else ""
        return activity.doing, done
    if activity.unit == "bytes":
        of = f"{_amount(activity.done, 'bytes')} of {_amount(activity.total, 'bytes')}"
    else:
        of = f"{activity.done:,} of {_amount(activity.total, activity.unit)}"
    return activity.doing, f"{percent(activity)} ({of})"


def percent(activity: Activity) -> str:
    """Return how much of a known total is done; never 100 % before it is."""
    total = activity.total or 1
    return f"{min(100 * activity.done // total, 100)} %"


def _amount(number: int, unit: str) -> str:
    return f"{number / MEGABYTE:,.1f} MB" if unit == "bytes" else f"{number:,} {unit}"
