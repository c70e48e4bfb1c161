"""What a file no longer gives or says, and its objects keep nevertheless.

``CREATE OR REPLACE`` leaves privileges and comments as they are, and what is created anew
gets back what the database knew.  Whether a GRANT that was taken out of a file is to be
taken back is not decided here: it may have gone into a source of its own, or be wanted by
hand.  It is told, with the statement to write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from alembic_pgpipe.objects.definitions import Definition, left_standing
from alembic_pgpipe.objects.held import DatabaseObject, key
from alembic_pgpipe.routines.working import RoutineChange
from alembic_pgpipe.sending.server_errors import StatementError
from alembic_pgpipe.shipping.kept import drop, heirs_of
from alembic_pgpipe.shipping.stage import Stage
from alembic_pgpipe.source.reader import read_statements

GIVING = (("GRANT",), ("COMMENT",))
STAYS = "{} keeps what the file no longer says. To take it back, write: {}"


def taken_out(stage: Stage, change: RoutineChange) -> Sequence[str]:
    """Return notes on what stays of a text that a change, shipped on the stage, has replaced.

    None are given where one of the texts does not run by itself any more.
    """
    if not change.new or not _says(change.old, change.path) - _says(change.new, change.path):
        return ()
    with suppress(StatementError):
        there = stage.created_by(change.new, change.path)
        old, new = (_alone(stage, there, t, change.path) for t in (change.old, change.new))
        return tuple(_notes(old, new, stage.definitions(there)))
    return ()


def _notes(
    old: Sequence[Definition], new: Sequence[Definition], there: Sequence[Definition]
) -> Iterator[str]:
    was, made, now = ({key(one.object): one for one in each} for each in (old, new, there))
    heirs = heirs_of([one.object for one in old], [one.object for one in new], ())
    for one in heirs:
        heir = key(one.new)
        stands = now.get(heir)  # a text may find its schema by a call, which only it makes
        if stands and (found := left_standing(was[key(one.old)], made[heir], stands)):
            yield STAYS.format(one.new.identity, " ".join(found))


def _says(text: str, path: str) -> frozenset[str]:
    """Return the statements of a text that give something, or comment on something."""
    statements = read_statements(text, path)
    return frozenset(s.text.rstrip(";") for s in statements if s.words[:1] in GIVING)


def _alone(
    stage: Stage, there: Sequence[DatabaseObject], text: str, path: str
) -> Sequence[Definition]:
    """Return what a text makes where nothing of it was there before."""
    with stage.undone():
        for one in there:
            stage.run(f"{drop(one).rstrip(';')} CASCADE", path)
        return stage.definitions(stage.create(text, path))
