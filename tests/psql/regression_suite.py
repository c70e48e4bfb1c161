r"""PostgreSQL's own SQL files through psql and through the reader; ``make psql-proof``.

Each file is compared as it is, if the reader takes it, and once more made plain:

* a backslash command is taken out, from the backslash to the end of its line; one that
  sends the statement before it (``\g``, ``\gset``, ``\;`` …) becomes a semicolon;
* a ``COPY … FROM STDIN`` that is followed by no data up to the end of the file, because
  the server refuses it, is renamed, so that neither side waits for data;
* a colon is parted from a name in capitals, so that psql puts in no variable of its own.

psql and the reader get the same plain text, so that a difference is a difference.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source.text import decode
from tests.psql.client import MAJOR, Psql, find_psql, recorded_psql
from tests.psql.comparison import cut, differences

SUITE = Path(__file__).resolve().parents[2] / ".scratch" / "regression-suite"
FORCED = ("\\;", "\\:")
COMMAND = re.compile(r"\\(?:[;:]|[^\n]*)")
SENDS = re.compile(r"\\(?:;|(?:g|gx|gset|gdesc|gexec|crosstabview|watch)\b)")
COPY = re.compile(r"COPY\b", re.IGNORECASE)
VARIABLE = re.compile(r"(?<!:):(?=['\"]?[A-Z][A-Z_]+\b|\{\?)")
# Names of commands and tags, and where a byte is.
PARTICULARS = re.compile(r"[\\$]\S+|0x\w+|\d+")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one file; ``reason`` says why the reader refused it."""

    file: str
    statements: int = 0
    copies: int = 0
    reason: str = ""
    difference: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """All outcomes of one way to read the files."""

    title: str
    outcomes: tuple[Outcome, ...]

    @property
    def different(self) -> tuple[Outcome, ...]:
        """Return the files that psql and the reader do not see alike."""
        return tuple(outcome for outcome in self.outcomes if outcome.difference)

    def lines(self) -> Iterator[str]:
        """Yield the counts, the refusals by reason, and the differences."""
        refused = Counter(outcome.reason for outcome in self.outcomes if outcome.reason)
        equal = len(self.outcomes) - refused.total() - len(self.different)
        statements = sum(outcome.statements for outcome in self.outcomes)
        copies = sum(outcome.copies for outcome in self.outcomes)
        yield (
            f"{self.title}: {len(self.outcomes)} files, {equal} equal, "
            f"{refused.total()} refused, {len(self.different)} different; "
            f"{statements} statements, {copies} of them with COPY data"
        )
        for reason, count in refused.most_common():
            yield f"  refused {count:4}  {reason}"
        for outcome in self.different:
            yield f"  DIFFERENT {outcome.file}: {outcome.difference}"


def suite_files() -> list[Path]:
    """Return every SQL file of the suite."""
    return sorted(SUITE.rglob("*.sql"))


def prove(psql: Psql, files: list[Path], folder: Path) -> tuple[Proof, Proof]:
    """Compare every file as it is, and made plain; ``folder`` is for scratch files."""
    as_is = tuple(compare(psql, file, file.read_bytes()) for file in files)
    plain = folder / "plain.sql"
    made_plain = tuple(_compare_plain(psql, file, plain) for file in files)
    return Proof("as they are", as_is), Proof("made plain", made_plain)


def _compare_plain(psql: Psql, file: Path, plain: Path) -> Outcome:
    try:
        raw = plain_text(file.read_bytes())
    except SourceError as error:
        return Outcome(shown(file), reason=kind_of(error))
    plain.write_bytes(raw)
    return replace(compare(psql, plain, raw), file=shown(file))


def compare(psql: Psql, file: Path, raw: bytes) -> Outcome:
    """Compare one file; psql runs only where the reader takes it."""
    try:
        ours = cut(raw, str(file))
    except SourceError as error:
        return Outcome(shown(file), reason=kind_of(error))
    found = differences(psql.sent(file), ours)
    copies = sum(sent.data is not None for sent in ours)
    return Outcome(shown(file), len(ours), copies, difference=str(found[0]) if found else "")


def plain_text(raw: bytes) -> bytes:
    """Return a file's text without what the reader refuses by rule.

    Raises SourceError where something else is refused.
    """
    text = VARIABLE.sub(": ", decode(raw, ""))
    while True:
        try:
            cut(text.encode(), "")
        except SourceError as error:
            text = _without(text, error)
        else:
            return text.encode()


def kind_of(error: SourceError) -> str:
    """Return an error's message without what differs from file to file."""
    return PARTICULARS.sub("…", error.problem).split("; ")[0]


def shown(file: Path) -> str:
    """Return a file's path within the suite."""
    return str(file.relative_to(SUITE)) if file.is_relative_to(SUITE) else file.name


def _without(text: str, error: SourceError) -> str:
    """Return a text without the one thing that was refused; raise where no rule fits."""
    at = _offset(text, error.line, error.column)
    if command := COMMAND.match(text, at):
        end = at + 2 if command[0] in FORCED else command.end()
        return text[:at] + (";" if SENDS.match(text, at) else "") + text[end:]
    if "end of data" in error.problem and COPY.match(text, at):
        return text[:at] + "COPIED" + text[at + 4 :]
    raise error


def _offset(text: str, line: int, column: int) -> int:
    """Return the offset of a place."""
    start = 0
    for _ in range(line - 1):
        start = text.index("\n", start) + 1
    return start + column - 1


def main() -> int:
    """Compare all files, print what came out, and return the exit code."""
    program, files = find_psql(), suite_files()
    if program is None or not files:
        sys.stderr.write(f"There is no psql {MAJOR}, or nothing in {SUITE}.\n")
        return 2
    with recorded_psql(program) as psql, tempfile.TemporaryDirectory() as folder:
        proofs = prove(psql, files, Path(folder))
    for proof in proofs:
        sys.stdout.writelines(f"{line}\n" for line in proof.lines())
    return int(any(proof.different for proof in proofs))


if __name__ == "__main__":
    sys.exit(main())
