r"""What psql sends beside what the reader cuts; every allowance is made here.

psql is taken at its word but for four things, none of which changes what runs:

1. What holds nothing but blanks, comments and a semicolon is not sent by us.
2. psql leaves empty lines out of a statement, except in quotes and comments; we do not.
3. Blanks and comments behind a last statement that has no semicolon are not sent by us.
4. psql 15 – 17 send the line ``\.`` that ends COPY data; that line is no data.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from itertools import zip_longest

from alembic_pgpipe.source.reader import CopyData, read_statements
from alembic_pgpipe.source.text import decode
from tests.psql.gaps import BLANKS, without_leading_gap
from tests.psql.recording_server import Sent

END_OF_DATA = re.compile(rb"(?:^|(?<=\n))\\\.(?:\r?\n)?\Z")


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where psql and the reader disagree; None where one has no statement."""

    number: int
    psql: Sent | None
    reader: Sent | None

    def __str__(self) -> str:
        return f"statement {self.number}\n  psql:   {self.psql}\n  reader: {self.reader}"


def cut(raw: bytes, path: str) -> tuple[Sent, ...]:
    """Return what we would send: the one place where the reader is called.

    Raises SourceError where the reader refuses the file.
    """
    return tuple(
        Sent(statement.text.encode(), _encoded(statement.data))
        for statement in read_statements(decode(raw, path), path)
    )


def differences(psql: tuple[Sent, ...], reader: tuple[Sent, ...]) -> tuple[Difference, ...]:
    """Return the first place where the two disagree, and all places behind it."""
    expected = tuple(filter(_says_something, map(_without_end_of_data, psql)))
    return tuple(
        Difference(number, theirs, ours)
        for number, (theirs, ours) in enumerate(zip_longest(expected, reader), start=1)
        if not _equal(theirs, ours)
    )


def _encoded(data: CopyData | None) -> bytes | None:
    return None if data is None else data.read().encode()


def _says_something(sent: Sent) -> bool:
    """Rule 1."""
    return without_leading_gap(_text(sent)).strip(BLANKS + ";") != ""


def _without_end_of_data(sent: Sent) -> Sent:
    """Rule 4."""
    return Sent(sent.text, None if sent.data is None else END_OF_DATA.sub(b"", sent.data))


def _equal(theirs: Sent | None, ours: Sent | None) -> bool:
    if theirs is None or ours is None or theirs.data != ours.data:
        return False
    rest = _rest_behind(_compared(theirs), _compared(ours))
    return rest is not None and without_leading_gap(rest) == ""


def _compared(sent: Sent) -> str:
    """No blanks before the first token: psql 15 takes a vertical tab for one."""
    return _text(sent).lstrip(BLANKS)


def _text(sent: Sent) -> str:
    return sent.text.decode("utf-8", "surrogateescape")


def _rest_behind(theirs: str, ours: str) -> str | None:
    """Return what psql's text has behind ours, or None where they differ; rules 2 and 3."""
    lines, own = deque(theirs.split("\n")), ours.split("\n")
    for line in own[:-1]:
        if lines and lines[0] == line:
            lines.popleft()
        elif line:
            return None
    rest = "\n".join(lines)
    return rest[len(own[-1]) :] if lines and rest.startswith(own[-1]) else None
