"""One expression in two wordings: what PostgreSQL says of a text that it has said itself.

A restore reads what a dump was told, and ``s IN ('x', 'y')`` may be worded otherwise then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.exc import DBAPIError

from alembic_pgpipe.objects.held import key
from alembic_pgpipe.objects.tables import Structure, read_structures
from alembic_pgpipe.shipping.stage import Stage
from alembic_pgpipe.source.quoting import identifier

PARTS = ("columns", "constraints", "indexes", "statistics")
QUOTED = r'"(?:[^"]|"")+"'
NAME = rf"(?:{QUOTED}|[^\s\"]+)"
HEAD = re.compile(
    rf"\A(?:CONSTRAINT (?P<constraint>{NAME}) (?:CHECK|EXCLUDE) "
    rf"|(?P<create>CREATE (?:UNIQUE )?INDEX (?P<index>{NAME}) ON )(?P<only>ONLY )?"
    rf"|CREATE STATISTICS (?P<statistics>(?:{QUOTED}|[^\s\"])+) "
    rf"|(?!CONSTRAINT |CREATE )(?P<column>{NAME}) .*? DEFAULT )"
)
OWNED = " OWNS SEQUENCE "


@dataclass(frozen=True, slots=True)
class Pair:
    """A CHECK, an index or the like, ``head`` being what is the same of both lines."""

    table: Structure
    head: str
    project: str
    database: str


def in_words_of_project(
    project: Iterable[Structure], database: Sequence[Structure], stage: Stage
) -> Sequence[Structure]:
    """Return the database's structures; where only words differ, they are the project's.

    Lines that differ are made anew on the rehearsal's server, where nothing of it stays.
    """
    held = {key(one): one for one in database}
    pairs = [pair for one in project for pair in _pairs(one, held.get(key(one)))]
    if not pairs:
        return database
    same: dict[str, dict[str, str]] = {}
    for pair in _same(pairs, stage):
        same.setdefault(key(pair.table), {})[pair.database] = pair.project
    return [_reworded(one, same.get(key(one), {})) for one in database]


def _pairs(project: Structure, database: Structure | None) -> Iterator[Pair]:
    if database is None:
        return
    for part in PARTS:
        ours, theirs = (_by_head(one.parts.get(part, "")) for one in (project, database))
        for head, line in ours.items():
            if theirs.get(head, line) != line:
                yield Pair(project, head, line, theirs[head])


def _by_head(text: str) -> Mapping[str, str]:
    return {head[0]: line for line in text.split("\n") if (head := HEAD.match(line))}


def _same(pairs: Sequence[Pair], stage: Stage) -> Iterator[Pair]:
    """Yield the pairs that are one where a server reads either once more, or both."""
    project = _read_back(pairs, lambda pair: pair.project, stage)
    database = _read_back(pairs, lambda pair: pair.database, stage)
    for pair, ours, theirs in zip(pairs, project, database, strict=True):
        if {pair.project, ours} & {pair.database, theirs}:
            yield pair


def _read_back(
    pairs: Sequence[Pair], line: Callable[[Pair], str], stage: Stage
) -> Sequence[str]:
    """Return what the server says of lines that are made anew; as they are where none can be.

    All are made before any is read, for a look takes longer than many of them.
    """
    with stage.undone():
        made = [_made(pair, line(pair), stage) for pair in pairs]
        read = {key(one): one for one in read_structures(stage.rehearsal.connection)}
        return [
            _lines(read[key(pair.table)]).get(pair.head, line(pair)) if is_made else line(pair)
            for pair, is_made in zip(pairs, made, strict=True)
        ]


def _lines(table: Structure) -> Mapping[str, str]:
    return _by_head("\n".join(table.parts.get(part, "") for part in PARTS))


def _made(pair: Pair, line: str, stage: Stage) -> bool:
    drop, create = _statements(pair, line)
    try:
        with stage.rehearsal.savepoint():
            stage.command(drop)
            stage.command(create)
    except DBAPIError:
        return False
    return True


def _statements(pair: Pair, line: str) -> tuple[str, str]:
    head, table = HEAD.match(pair.head), pair.table
    assert head is not None, "a pair begins with what it was found by"
    if head["constraint"]:
        alter = f"ALTER TABLE {table.identity}"
        return f"{alter} DROP CONSTRAINT {head['constraint']}", f"{alter} ADD {line}"
    if head["column"]:
        # Partitions and heirs have defaults of their own.
        alter = f"ALTER TABLE ONLY {table.identity} ALTER {head['column']}"
        initial = line[head.end() :].partition(OWNED)[0]
        return f"{alter} DROP DEFAULT", f"{alter} SET DEFAULT {initial}"
    if head["statistics"]:
        return f"DROP STATISTICS {head['statistics']}", line
    # ONLY says that it is on a partitioned table; without it, it is on the partitions as well.
    create = head["create"] + line[head.end() :]
    return f"DROP INDEX {identifier(table.schema)}.{head['index']}", create


def _reworded(one: Structure, lines: Mapping[str, str]) -> Structure:
    if not lines:
        return one
    parts = {
        part: "\n".join(lines.get(line, line) for line in text.split("\n"))
        for part, text in one.parts.items()
    }
    return replace(one, parts=parts)
