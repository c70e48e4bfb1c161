"""A step that has begun, and what is left of it where it does not come to its end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from alembic_pgpipe.model import Attempt, Row
from alembic_pgpipe.run.alone import Alone
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
    alone: Alone | None = None

    @property
    def open_attempt(self) -> int:
        """Return the attempt's id, to whoever writes into what has begun."""
        assert self.attempt is not None, "the step has not begun"
        return self.attempt

    @property
    def undone(self) -> bool:
        """Return whether a rollback takes back all that the step has done."""
        return self.step.transactional and not self.kept and not self.committing


def what_is_left(running: Running) -> str:
    """Return what is left of a step that did not come to its end."""
    if running.undone:
        return "nothing of this revision was applied (rolled back)"
    if running.committing and not running.kept:
        return "whether it was committed in the other database, the next run asks there"
    if running.kept:
        return "what it committed by itself stays: look at it before the next try"
    if running.alone is None or not running.alone.total:
        return "what its finished statements did stays; the next try goes on after them"
    if running.alone.parted is not None:
        return (
            f"statement {running.alone.parted} had ended a transaction by itself before it "
            "failed, so that a part of it may stay: look at it before the next try"
        )
    done, total = running.alone.done, running.alone.total
    are = "statement is" if total == 1 else "statements are"
    return (
        f"{done} of {total} {are} done; what its finished statements did stays, and the next "
        "try goes on after them"
    )
