"""How much one step may say: a routine that reports each row must not drown the log."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from alembic_pgpipe.showable import ENTRY, STEP, Bounds, bounded, left_out

HELD_BACK = "  … what this step goes on to say comes when it ends, if it is not too much …"


@dataclass(slots=True)
class Quota:
    """Hands on what a step says as it comes; of what is too much, only the end is kept.

    ``finish`` hands that on.
    """

    say: Callable[[str], None]
    bounds: Bounds = STEP
    _said: int = 0
    _kept: deque[str] = field(default_factory=deque)
    _size: int = 0
    _left_out: int = 0

    def take(self, text: str) -> None:
        """Take what the step says."""
        text = bounded(text, ENTRY)
        if self._said <= self.bounds.head:
            self._said += len(text) + 1
            self.say(text)
            if self._said > self.bounds.head:
                self.say(HELD_BACK)
            return
        self._kept.append(text)
        self._size += len(text) + 1
        while self._size > self.bounds.tail:
            gone = len(self._kept.popleft()) + 1
            self._size -= gone
            self._left_out += gone

    def finish(self) -> None:
        """Say how much was left out, and then the end."""
        if self._left_out:
            self.say(left_out(self._left_out))
        while self._kept:
            self.say(self._kept.popleft())


@contextmanager
def rationed(say: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Give what a step may say its words to; they are all said when the context ends."""
    quota = Quota(say)
    try:
        yield quota.take
    finally:
        quota.finish()
