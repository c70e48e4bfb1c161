r"""From a file to a source that can be run: what is checked first is what runs later.

A source is read twice: to check it, and to run it.  It may be larger than memory, so its
text is not kept in between; the second reading proves that the files are still the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source.backslash import Inclusion
from alembic_pgpipe.source.checksum import Checksum, combined
from alembic_pgpipe.source.directives import DirectiveReader, Directives
from alembic_pgpipe.source.files import locate, shown_path
from alembic_pgpipe.source.reader import Reader, Statement, kept
from alembic_pgpipe.source.text import read_pieces
from alembic_pgpipe.source.transaction import Execution, Rules

DEEPEST = 16


@dataclass(frozen=True, slots=True)
class Source:
    """One SQL file, checked: ``file`` within the sources folder, ``path`` as shown.

    ``checksums`` are those of the file itself and of each file that it includes.
    ``verdict`` is how it is run, or why it may not be; its directives are then those of
    its header.  ``doubts`` say which comments nearly are directives.
    """

    file: str
    path: str
    checksums: Mapping[str, str]
    directives: Directives
    verdict: Execution | SourceError
    folder: Path
    project: Path
    doubts: tuple[str, ...] = ()

    @property
    def checksum(self) -> str:
        """Return what tells whether the source was edited."""
        return combined(tuple(self.checksums.values()))

    @property
    def execution(self) -> Execution:
        """Return how it is run; raises SourceError where it may not be."""
        if isinstance(self.verdict, SourceError):
            raise self.verdict
        return self.verdict

    def statements(self) -> Iterator[Statement]:
        """Yield the statements as they are read from the file now.

        Raises :class:`SourceError` where a file is no longer the one that was checked:
        at its end, which for one of up to a mebibyte is ahead of its first statement.
        """
        texts = _Texts(self.folder, self.project, self.checksums)
        pieces = texts.pieces(locate(self.folder, self.file, self.project), self.path)
        return Reader(pieces, self.path, texts.include).statements()

    def kept_statements(self) -> tuple[Statement, ...]:
        """Return the statements that are sent, all of them in memory and proven."""
        return tuple(self.execution.sent(map(kept, self.statements())))


def load_source(
    folder: Path, file: str, project: Path, require_transaction: bool = False
) -> Source:
    """Read a source to its end, and decide how it is run.

    Raises :class:`SourceError` where its text or its header cannot be read at all.
    """
    path = shown_path(folder, file, project)
    texts = _Texts(folder, project)
    pieces = texts.pieces(locate(folder, file, project), path)
    head = next(pieces, "")
    directives = DirectiveReader(head, path)
    reader = Reader(chain((head,), pieces), path, texts.include)
    verdict: Execution | SourceError
    found = directives.header
    try:
        verdict = _decided(reader, directives, Rules(found, require_transaction))
        found = directives.finish(reader.line_comments())
    except SourceError as error:
        verdict = error
    for _ in pieces:
        pass  # the checksum is that of the whole file, also where it cannot be run
    if isinstance(verdict, SourceError) and not texts.has_read(path):
        raise verdict
    checksums, doubts = texts.checksums(path), directives.doubts
    return Source(file, path, checksums, found, verdict, folder, project, doubts)


def _decided(reader: Reader, directives: DirectiveReader, rules: Rules) -> Execution:
    for statement in reader.statements():
        rules.see(statement)
        if reader.has_comments:
            directives.see(reader.line_comments())
    return rules.verdict()


@dataclass(slots=True)
class _Texts:
    """The files of one reading: the source's own, and those that it includes.

    ``folder`` is the sources folder, ``expected`` are the checksums that they had when they
    were checked.
    """

    folder: Path
    project: Path
    expected: Mapping[str, str] | None = None
    _found: dict[str, str] = field(default_factory=dict)

    def checksums(self, path: str) -> Mapping[str, str]:
        """Return the checksum of each file, that of ``path`` first."""
        return {path: self._found[path], **self._found}

    def has_read(self, path: str) -> bool:
        """Return whether a file was read to its end."""
        return path in self._found

    def pieces(self, real: Path, path: str) -> Iterator[str]:
        """Yield the text of a file; raises SourceError where it is not the expected one."""
        digest = Checksum()
        try:
            with real.open("rb") as file:
                for piece in read_pieces(file, path):
                    digest.feed(piece)
                    yield piece
        except OSError as exc:
            raise SourceError(path, f"this file cannot be read: {exc.strerror}") from exc
        self._found[path] = found = digest.finish()
        if self.expected is not None and self.expected.get(path) != found:
            message = (
                "this file was changed after it had been checked for this run; nothing of "
                "it is applied. Then: alembic upgrade head"
            )
            raise SourceError(path, message)

    def include(self, inclusion: Inclusion, reader: Reader) -> Reader:
        r"""Open the file that ``\i`` or ``\ir`` names, inside project and sources folder only.

        psql looks for ``\i`` from the folder it is started in: here the project's.
        """
        folder = self.project.absolute()
        if inclusion.relative:
            folder = (folder / reader.path).parent
        file = str(folder / inclusion.file)
        try:
            real = locate(self.folder, file, self.project)
        except SourceError as error:
            raise _refused(reader.path, inclusion, error.problem) from error
        path = shown_path(self.folder, file, self.project)
        included = Reader(self.pieces(real, path), path, self.include, depth=reader.depth + 1)
        if included.depth > DEEPEST:
            raise _refused(reader.path, inclusion, "files include each other without an end")
        return included


def _refused(path: str, inclusion: Inclusion, problem: str) -> SourceError:
    command = "ir" if inclusion.relative else "i"
    message = f"\\{command} {inclusion.file}: {problem}"
    return SourceError(path, message, line=inclusion.line, column=inclusion.column)
