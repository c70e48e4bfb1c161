"""What is done beside a statement while it runs: see whom it waits for, say how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from alembic_pgpipe.watching.blockers import Ask, Blocker, Blockers
from alembic_pgpipe.watching.display import Display
from alembic_pgpipe.watching.progress import (
    REPORTS,
    Activity,
    Progress,
    Schedule,
    activity_of,
    line,
)

# What is over within a moment needs no bar, and nobody reads one that changes faster.
BAR_AFTER_SECONDS = 0.5
BAR_EVERY_SECONDS = 0.1
# After a look that took long, the next one is this many times as far away.
REST = 10


@dataclass(slots=True)
class Reporter:
    """Says how far a step is: on the display where there is one, and in plain lines.

    ``pid`` is the server process that runs the statements.
    """

    revision: str
    pid: int
    ask: Ask
    say: Callable[[str], None]
    display: Display | None = None
    schedule: Schedule = field(default_factory=Schedule)
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _number: int = 1
    _total: int = 1
    _said: float | None = None
    _shown: float = 0.0

    def __post_init__(self) -> None:
        """Begin to count the seconds."""
        self._began = self.clock()

    def begin(self, number: int, total: int) -> None:
        """Hear that statement ``number`` of ``total`` is sent, and say so if it is time."""
        self._number, self._total = number, total
        self._tell(lambda: None)

    def look(self, blockers: tuple[Blocker, ...] = ()) -> None:
        """Ask the server what the statement is doing, and say so if it is time.

        ``blockers`` are whom it waits for.
        """
        self._tell(lambda: activity_of(self.ask(REPORTS, {"pid": self.pid})), blockers)

    def _tell(
        self, activity: Callable[[], Activity | None], blockers: tuple[Blocker, ...] = ()
    ) -> None:
        seconds = self.clock() - self._began
        due = self.schedule.due(seconds, self._said)
        moves = self.display is not None and seconds >= max(
            BAR_AFTER_SECONDS, self._shown + BAR_EVERY_SECONDS
        )
        if not due and not moves:
            return
        now = Progress(self.revision, self._number, self._total, seconds, activity(), blockers)
        if due:
            self._said = seconds
            self.say(line(now))
        if self.display is not None:
            self._shown = seconds
            self.display.show(now)


@dataclass(slots=True)
class Watching:
    """Looks on the journal what a statement on another connection is doing.

    ``keep`` puts into the build's row what has been said: the run may be killed in it.
    """

    blockers: Blockers
    reporter: Reporter
    keep: Callable[[], None]
    clock: Callable[[], float] = time.monotonic
    _rests_until: float = 0.0

    def begin(self, number: int, total: int) -> None:
        """Hear that a message is about to be sent, which begins with that statement."""
        self.blockers.forget()
        self.reporter.begin(number, total)

    def tick(self) -> None:
        """Look whom it waits for now, and how far it is."""
        began = self.clock()
        if began < self._rests_until:
            return
        self.keep()
        self.blockers.look()
        self.reporter.look(self.blockers.now)
        ended = self.clock()
        self._rests_until = ended + REST * (ended - began)
