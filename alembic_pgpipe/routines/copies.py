"""The working copies: which file creates an object, and that file with another text of it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.objects.heads import Head, heads
from alembic_pgpipe.objects.held import DatabaseObject
from alembic_pgpipe.routines.working import read_copies
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.source.names import parts
from alembic_pgpipe.source.reader import Statement, read_statements

# What says more about an object that stands elsewhere in the file.
ADJUNCTS = frozenset({"ALTER", "COMMENT", "GRANT", "REVOKE"})
PARTS_OF = frozenset({"INDEX", "UNIQUE", "RULE", "STATISTICS"})
LITERAL = re.compile(r"'(?:[^']|'')*'|(\$(?:[^\W\d]\w*)?\$).*?\1", re.S)


@dataclass(frozen=True, slots=True)
class ReadCopy:
    """A working copy cut into statements; ``shown`` is its path as people are shown it.

    ``schema`` is that of unqualified names; None: it may be any.
    """

    name: str
    path: Path
    shown: str
    text: str
    statements: tuple[Statement, ...]
    schema: str | None

    def heads(self) -> tuple[tuple[Statement, Head], ...]:
        """Return the statements that create objects of our kinds, and what they create."""
        return tuple(heads(self.statements))

    def creates(self, found: DatabaseObject) -> bool:
        """Tell whether the file creates an object."""
        return any(self._means(head, found) for _, head in self.heads())

    def names_in_full(self, found: DatabaseObject) -> bool:
        """Tell whether the file creates an object by its name with the schema."""
        return any(head.creates(found) and head.is_qualified for _, head in self.heads())

    def _means(self, head: Head, found: DatabaseObject) -> bool:
        its_schema = head.is_qualified or self.schema in (None, found.schema)
        return its_schema and head.creates(found)

    def with_object(self, found: DatabaseObject, text: str) -> str:
        """Return the file's text with what it says of an object replaced; the rest stays.

        Raises SourceError where it cannot be told what is said of this object alone.
        """
        replaced = self._about(found)
        pieces, done = [], 0
        for statement in replaced:
            pieces.append(self.text[done : statement.offset + statement.lead])
            if not done:
                pieces.append(text.rstrip("\n"))
            done = statement.offset + len(statement.text)
        pieces.append(self.text[done:])
        return re.sub(r"\n{3,}\Z", "\n", "".join(pieces).rstrip() + "\n")

    def _about(self, found: DatabaseObject) -> list[Statement]:
        created = [statement for statement, head in self.heads() if self._means(head, found)]
        others = [head for statement, head in self.heads() if statement not in created]
        if len(created) > 1:
            raise self._refusal(created[1], found, "creates it a second time")
        return [
            statement
            for statement in self.statements
            if statement in created or self._says_more(statement, found, others)
        ]

    def _says_more(
        self, statement: Statement, found: DatabaseObject, others: Sequence[Head]
    ) -> bool:
        """Tell whether a statement is about an object, and may go with its old text."""
        first, second = (*statement.words, "", "")[:2]
        if first == "DROP" or (first == "CREATE" and second not in PARTS_OF):
            return False
        if found.name not in names_in(statement):
            return False
        if first not in ADJUNCTS and first != "CREATE":
            raise self._refusal(statement, found, "uses it and is no part of it")
        if any(head.name[-1] in names_in(statement) for head in others):
            raise self._refusal(statement, found, "may be about another object of the file")
        return True

    def _refusal(self, statement: Statement, found: DatabaseObject, why: str) -> SourceError:
        return SourceError(
            self.shown,
            f"{found.identity} cannot be written into this file: this statement {why}. Move "
            f"{found.identity} into a file of its own, then: alembic pgpipe pull "
            f"{shlex.quote(found.identity)}",
            line=statement.line,
            column=statement.column,
        )


def names_in(statement: Statement) -> frozenset[str]:
    """Return the names and words outside a statement's literals, as the catalogue has them."""
    return frozenset(parts(LITERAL.sub(" ", statement.text)))


def cut_copies(settings: Settings, schema: str | None = None) -> Iterator[ReadCopy]:
    """Yield the project's working copies, in the natural order of their paths.

    ``schema`` is that of unqualified names, but in a file with settings of its own.
    Raises SourceError for a file that cannot be read.
    """
    for copy in read_copies(settings).values():
        shown = settings.shown(copy.path)
        statements = read_statements(copy.text, shown)
        sets = any(statement.words[:1] == ("SET",) for statement in statements)
        its_schema = None if sets else schema
        yield ReadCopy(copy.name, copy.path, shown, copy.text, statements, its_schema)


def copy_of(found: DatabaseObject, copies: Iterable[ReadCopy]) -> ReadCopy | None:
    """Return the file that creates an object, or None.

    Raises SourceError where several do.
    """
    able = [copy for copy in copies if copy.creates(found)]
    holding = [copy for copy in able if copy.names_in_full(found)] or able
    if len(holding) > 1:
        names = " and ".join(copy.shown for copy in holding)
        raise SourceError(
            holding[1].shown, f"{found.identity} is created by {names}; keep it in one of them."
        )
    return holding[0] if holding else None
