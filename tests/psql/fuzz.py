"""Look for texts on which the reader breaks: ``python -m tests.psql.fuzz SECONDS [SEED]``.

A text is read; nothing but SourceError may come out, within a generous time; it is
repeated, and twice as much may only be twice the work; and psql, where there is one, must
cut it alike.  The first text that breaks is kept as a file, and the exit code is 1.
"""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from alembic_pgpipe.errors import SourceError
from tests.psql.client import Psql, find_psql, recorded_psql
from tests.psql.comparison import cut, differences
from tests.psql.regression_suite import SUITE
from tests.psql.soup import PIECES, is_comparable
from tests.psql.work import is_linear

SECONDS = 60.0
MOST_PIECES = 40
# A text of a few hundred characters takes a fraction of a millisecond.
PATIENCE = 20
KEPT = SUITE.with_name("fuzz")


class HangError(Exception):
    """Report that the reader did not come back."""


@dataclass(frozen=True)
class Fuzz:
    """What texts are tried with; ``psql`` is None where there is none."""

    choices: random.Random
    folder: Path
    psql: Psql | None

    def text(self) -> str:
        """Return the next text."""
        count = self.choices.randint(1, MOST_PIECES)
        return "".join(self.choices.choices(PIECES, k=count))

    def trouble(self, text: str) -> str:
        """Return what is wrong with how a text is read, or nothing."""
        try:
            with _patience():
                if not is_linear(_read, text):
                    return "twice the text is more than twice the work"
                return self._difference(text)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
            return f"{type(error).__name__}: {error}"

    def _difference(self, text: str) -> str:
        """Return where psql cuts a text otherwise; what the reader refuses passes."""
        try:
            ours = cut(text.encode(), "fuzz.sql")
        except SourceError:
            return ""
        if self.psql is None or not is_comparable(text):
            return ""
        file = self.folder / "fuzz.sql"
        file.write_bytes(text.encode())
        found = differences(self.psql.sent(file), ours)
        return str(found[0]) if found else ""


def main(arguments: list[str]) -> int:
    """Try texts until the time is over; return the exit code."""
    seconds = float(arguments[0]) if arguments else SECONDS
    seed = int(arguments[1]) if arguments[1:] else random.randrange(1 << 32)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        program = find_psql()
        psql = stack.enter_context(recorded_psql(program)) if program else None
        return _run(Fuzz(random.Random(seed), folder, psql), seconds, seed)


def _run(fuzz: Fuzz, seconds: float, seed: int) -> int:
    tried, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        text = fuzz.text()
        tried += 1
        if trouble := fuzz.trouble(text):
            file = _keep(text, seed, tried)
            sys.stderr.write(f"{trouble}\n{text!r}\nkept in {file} (seed {seed})\n")
            return 1
    beside = "compared with psql" if fuzz.psql else "no psql to compare with"
    sys.stdout.write(f"{tried} texts, nothing found, {beside} (seed {seed})\n")
    return 0


def _read(text: str) -> None:
    with suppress(SourceError):
        cut(text.encode(), "fuzz.sql")


def _keep(text: str, seed: int, number: int) -> Path:
    KEPT.mkdir(parents=True, exist_ok=True)
    file = KEPT / f"{seed}-{number}.sql"
    file.write_bytes(text.encode())
    return file


@contextmanager
def _patience() -> Iterator[None]:
    """Raise HangError in a block that takes far too long, inside a pattern too."""

    def give_up(_signal: int, _frame: FrameType | None) -> None:
        raise HangError(f"not done after {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
