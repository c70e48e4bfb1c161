"""Which files are likely to need which others: an order to try them in.

What the server accepts is found out by trying; a good order needs few tries.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.objects.heads import heads
from alembic_pgpipe.objects.order import in_order
from alembic_pgpipe.routines.working import RoutineChange
from alembic_pgpipe.source.reader import Statement, read_statements, without_comments

WORDS = re.compile(r"\w+")


def behind_what_they_mention(changes: Sequence[RoutineChange]) -> Sequence[RoutineChange]:
    """Return changes so that each comes behind those that create what its text mentions.

    Others keep their places; where texts mention each other, the first comes first.
    """
    texts = {change: tuple(_statements(change)) for change in changes}
    makers: dict[str, list[RoutineChange]] = defaultdict(list)
    for change, statements in texts.items():
        for _, head in heads(statements):
            makers[head.name[-1].lower()].append(change)
    mentioned = {
        change: _words(statements) & makers.keys() for change, statements in texts.items()
    }
    return in_order(
        changes, lambda change: (maker for word in mentioned[change] for maker in makers[word])
    )


def _statements(change: RoutineChange) -> Iterator[Statement]:
    with suppress(SourceError):  # which has its place when the text is tried
        yield from read_statements(change.new, change.path)


def _words(statements: Sequence[Statement]) -> frozenset[str]:
    """Return the words of statements, those of the routines' bodies among them."""
    texts = map(without_comments, statements)
    return frozenset(word for text in texts for word in WORDS.findall(text.lower()))
