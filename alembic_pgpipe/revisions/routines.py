"""Routine files: the working copy that people edit, and its snapshots among the sources.

A revision never runs the working copy.  Each version of it is copied into the sources
folder as ``NAME.vNNN.sql``, so that a replay from base gives the same database for ever.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from alembic_pgpipe.settings import Settings
from alembic_pgpipe.source import checksum, decode, natural_key, read_statements

SNAPSHOT = re.compile(r"(?P<name>.+)\.v(?P<version>\d{3,})\.sql\Z")
UNDO_SUFFIX = ".down.sql"
OBJECT = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:TEMP(?:ORARY)?\s+|RECURSIVE\s+|CONSTRAINT\s+)*"
    r"(?P<kind>FUNCTION|PROCEDURE|AGGREGATE|MATERIALIZED\s+VIEW|VIEW|EVENT\s+TRIGGER|TRIGGER)\s+"
    r'(?P<name>(?:(?:"(?:[^"]|"")+"|[\w$]+)\s*\.\s*)?(?:"(?:[^"]|"")+"|[\w$]+))',
    re.IGNORECASE,
)
TRIGGER_TABLE = re.compile(
    r'\bON\s+(?P<table>(?:(?:"(?:[^"]|"")+"|[\w$]+)\s*\.\s*)?(?:"(?:[^"]|"")+"|[\w$]+))',
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class RoutineChange:
    """A routine file that is new or has changed since its last snapshot.

    ``source`` and ``undo`` are the paths, below the sources folder, of the snapshot
    to be written and of what undoes it; ``drop`` is the undo's text where the first
    snapshot needs one of its own.
    """

    path: Path
    text: str
    source: str
    undo: str
    drop: str | None


def changed_routines(settings: Settings) -> tuple[RoutineChange, ...]:
    """Return the routine files whose text differs from their latest snapshot."""
    if not settings.routines.is_dir():
        return ()
    files = sorted(settings.routines.rglob("*.sql"), key=lambda f: natural_key(f.as_posix()))
    changes = (_change(settings, file) for file in files if file.is_file())
    return tuple(change for change in changes if change is not None)


def write_snapshot(settings: Settings, change: RoutineChange) -> tuple[Path, ...]:
    """Write a snapshot, and the undo of a first one; return the files."""
    settings.sources.mkdir(parents=True, exist_ok=True)
    written = [settings.sources / change.source]
    written[0].write_text(change.text, encoding="utf-8", newline="")
    if change.drop is not None:
        written.append(settings.sources / change.undo)
        written[1].write_text(change.drop, encoding="utf-8")
    return tuple(written)


def _change(settings: Settings, file: Path) -> RoutineChange | None:
    shown = settings.shown(file)
    text = decode(file.read_bytes(), shown)
    name = ".".join(file.relative_to(settings.routines).with_suffix("").parts)
    snapshots = _snapshots(settings.sources, name)
    if snapshots and checksum(_read(snapshots[-1])) == checksum(text):
        return None
    number = _version(snapshots[-1]) + 1 if snapshots else 1
    source = f"{name}.v{number:03}.sql"
    if snapshots:
        return RoutineChange(file, text, source, snapshots[-1].name, None)
    return RoutineChange(
        file, text, source, f"{name}.v{number:03}{UNDO_SUFFIX}", _drop(text, shown)
    )


def _snapshots(sources: Path, name: str) -> list[Path]:
    found = (
        path
        for path in (sources.iterdir() if sources.is_dir() else ())
        if (match := SNAPSHOT.match(path.name)) is not None and match["name"] == name
    )
    return sorted(found, key=_version)


def _version(snapshot: Path) -> int:
    match = SNAPSHOT.match(snapshot.name)
    assert match is not None
    return int(match["version"])


def _read(path: Path) -> str:
    return decode(path.read_bytes(), path.name)


def _drop(text: str, path: str) -> str | None:
    """Return what drops the objects that a routine file creates, last one first.

    A function is dropped by its name alone: where it is overloaded, the server refuses
    instead of dropping the wrong one.  None where an object is of another kind; its
    undo is then written by hand.
    """
    drops: list[str] = []
    for statement in read_statements(text, path):
        if statement.words[:1] == ("CREATE",):
            dropped = _drop_object(statement.text)
            if dropped is None:
                return None
            drops.append(dropped)
    return "\n".join(reversed(drops)) + "\n" if drops else None


def _drop_object(statement: str) -> str | None:
    match = OBJECT.match(statement)
    if match is None:
        return None
    kind = " ".join(match["kind"].upper().split())
    if kind == "AGGREGATE":
        return None
    if kind != "TRIGGER":
        return f"DROP {kind} {match['name']};"
    table = TRIGGER_TABLE.search(statement, match.end())
    return f"DROP TRIGGER {match['name']} ON {table['table']};" if table else None
