"""The table of the matrix: points by faults, and in a word what came of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.crash.faults import FAULTS, Case
from tests.crash.points import POINTS, Kind, Point

TARGET = Path(__file__).parents[2] / "docs" / "crash-matrix.md"
NOT_THERE = "–"
OR = " / "
HEAD = """\
# What a run survives

Each line is a moment of `alembic upgrade head`, each column something that happens at that
moment. After it, the same command is typed once more. In every cell the same is asked: the
database equals one that nothing has disturbed, each revision was applied exactly once and
has one attempt that says SUCCESS, the ledger told the truth in between too, the row of the
disturbed build is closed, no lock is left, and nobody was shown a traceback.

A cell says how that came about:

| word | means |
|---|---|
| done | the disturbed run went through all the same |
| passed | the revision was committed; the next run passed it |
| again | nothing of it was applied; the next run ran it |
| resumed | the next run went on after what was finished |
| asked | server or code had refused it; `alembic pgpipe retry`, and the next run ran it |
| – | cannot happen there |

Two words: either has been seen, as the client was ahead of the fault or behind it.

The columns: **SIGKILL**, **SIGTERM**, **Ctrl-C** meet the client; **exception** comes up in
its Python code; **refused**: the server answers the message with an error (a full disk);
**server crash**: an immediate shutdown, and a start. **terminated** is
`pg_terminate_backend`, **end** and **reset** are the network's, on one of the three
connections. **stall**: for a while nothing passes on any connection. **vanished**: the
client dies without a word, the server believes it alive until the next run is there, and
what had been sent arrives only then; where that is a build's row, the run after the next one
closes it.

`python -m tests.crash` writes this page from what it sees; `make test` tries a part of the
cells, `make crash` all of them.
"""


def page(cells: Mapping[str, str]) -> str:
    """Return the page; ``cells`` are the words by the ids of their cases."""
    return HEAD + "".join(_section(kind, cells) for kind in Kind)


def _section(kind: Kind, cells: Mapping[str, str]) -> str:
    lines = [
        f"\n{_heading(kind)}\n",
        "|  | " + " | ".join(fault.name for fault in FAULTS) + " |",
        "|---" * (len(FAULTS) + 1) + "|",
        *(_line(point, cells) for point in POINTS if point.kind is kind),
    ]
    return "\n".join(lines) + "\n"


def _line(point: Point, cells: Mapping[str, str]) -> str:
    words = (_word(Case(point, fault), cells) for fault in FAULTS)
    return f"| {point.name} | " + " | ".join(words) + " |"


def _word(case: Case, cells: Mapping[str, str]) -> str:
    return cells[case.id] if case.fault.may_meet(case.point) else NOT_THERE


def together(known: str, word: str) -> str:
    """Return a cell that has one word more, unless it has it already."""
    return OR.join(sorted({*filter(None, known.split(OR)), word}))


def written(target: Path = TARGET) -> dict[str, str]:
    """Return the words of the page as it is, by the ids of their cases.

    Lines of points that are gone say nothing.
    """
    if not target.exists():
        return {}
    points = {(_heading(point.kind), point.name): point for point in POINTS}
    return {
        Case(points[heading, name], fault).id: word
        for heading, (name, *words) in _rows(target.read_text("utf-8"))
        if (heading, name) in points
        for fault, word in zip(FAULTS, words, strict=True)
        if word != NOT_THERE
    }


def _heading(kind: Kind) -> str:
    return f"## {kind.value.capitalize()}"


def _rows(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the lines of the tables, each with the heading that it is below."""
    heading = ""
    for line in text.splitlines():
        if line.startswith("## "):
            heading = line
        elif line.startswith("| ") and not line.startswith("|  |"):
            yield heading, [cell.strip() for cell in line.strip("|").split("|")]
