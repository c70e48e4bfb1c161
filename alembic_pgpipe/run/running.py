"""A step that has begun, and what is left of it where it does not come to its end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from alembic_pgpipe.model import Attempt, Row
from alembic_pgpipe.outside.how_far import HowFar, left_by
from alembic_pgpipe.outside.resume import unfinished
from alembic_pgpipe.run.step import Step


@dataclass(slots=True)
class Running:
    """A step that has begun: its row, its attempt, and how far it came.

    ``kept`` says that a Python revision has committed something by itself, ``at_end`` that
    the step's statements are done, and only what they have deferred is not; ``recording``
    that even this is done, and the version and the status are being written.
    ``committing`` says that a commit in another database is on its way.

    A step that is one message has no ``attempt`` until it is known whether that began.
    """

    step: Step
    row: Row | None
    attempt: int | None
    last: Attempt | None
    began: float = field(default_factory=time.monotonic)
    recorded: bool = False
    kept: bool = False
    committing: bool = False
    at_end: bool = False
    recording: bool = False
    how_far: HowFar | None = None

    @property
    def open_attempt(self) -> int:
        """Return the attempt's id, to whoever writes into what has begun."""
        assert self.attempt is not None, "the step has not begun"
        return self.attempt

    @property
    def undone(self) -> bool:
        """Return whether a rollback takes back all that the step has done."""
        return self.step.transactional and not self.kept and not self.committing

    @property
    def stays(self) -> bool:
        """Return whether an earlier try has finished statements outside a transaction."""
        before = unfinished(self.last)
        return before is not None and bool(before.statement_hashes)


def what_is_left(running: Running) -> str:
    """Return what is left of a step that did not come to its end."""
    if running.undone:
        return _nothing(running)
    if running.committing and not running.kept:
        return "whether it was committed in the other database, the next run asks there"
    if running.kept:
        return "what it committed by itself stays: look at it before the next try"
    return left_by(running.how_far)


def _nothing(running: Running) -> str:
    """Return that this try left nothing; one before it may have finished statements."""
    if running.stays:
        return "this try did nothing; what the finished statements of earlier ones did stays"
    what = "this revision was applied" if running.step.upwards else "its undo was done"
    return f"nothing of {what} (rolled back)"
