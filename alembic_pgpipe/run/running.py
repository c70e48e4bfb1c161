"""A step that has begun, and what is left of it where it does not come to its end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from alembic_pgpipe.model import Attempt, Row
from alembic_pgpipe.run.resume import unfinished
from alembic_pgpipe.run.step import Step


@dataclass(slots=True)
class HowFar:
    """How far a source outside a transaction has come: ``done`` counts what is done.

    ``parted`` is the number of a statement that failed and may be done in part.
    """

    total: int = 0
    done: int = 0
    parted: int | None = None


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
    return _left_by(running.how_far)


def _nothing(running: Running) -> str:
    """Return that this try left nothing; one before it may have finished statements."""
    if running.stays:
        return "this try did nothing; what the finished statements of earlier ones did stays"
    what = "this revision was applied" if running.step.upwards else "its undo was done"
    return f"nothing of {what} (rolled back)"


def _left_by(how_far: HowFar | None) -> str:
    if how_far is None or not how_far.total:
        return "what its finished statements did stays; the next try goes on after them"
    if how_far.parted is not None:
        return (
            f"statement {how_far.parted} had ended a transaction by itself before it failed, "
            "so that a part of it may stay: look at it before the next try"
        )
    are = "statement is" if how_far.total == 1 else "statements are"
    return (
        f"{how_far.done} of {how_far.total} {are} done; what its finished statements did "
        "stays, and the next try goes on after them"
    )
