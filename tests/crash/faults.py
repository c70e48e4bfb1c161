"""The faults that meet a run at a point; ``harness`` brings them about."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum

from tests.crash.points import LASTING, Point, Role
from tests.crash.proxy import Side


class Deed(Enum):
    """What is done.

    ``RAISE`` lets an exception come up in the client's Python code, ``REFUSE`` lets the
    server refuse the message.  ``STALL`` lets nothing pass for a while, ``VANISH`` lets the
    client die and the server learn of it only when another run is there.
    """

    SIGNAL = "signal"
    RAISE = "exception"
    REFUSE = "refused"
    CRASH = "server crash"
    TERMINATE = "terminated"
    END = "end"
    RESET = "reset"
    STALL = "stall"
    VANISH = "vanished"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that can happen; ``role`` says to which connection."""

    name: str
    deed: Deed
    role: Role | None = None
    number: signal.Signals | None = None

    def may_meet(self, point: Point) -> bool:
        """Return whether it can happen there."""
        if self.deed is Deed.REFUSE:
            # A server refuses what it is asked; no server refuses a ROLLBACK.
            return point.side is Side.SENT and not point.pattern.startswith("^ROLLBACK")
        return self.role is None or self.role in point.alive


FAULTS: tuple[Fault, ...] = (
    Fault("SIGKILL", Deed.SIGNAL, number=signal.SIGKILL),
    Fault("SIGTERM", Deed.SIGNAL, number=signal.SIGTERM),
    Fault("Ctrl-C", Deed.SIGNAL, number=signal.SIGINT),
    Fault("exception", Deed.RAISE),
    Fault("refused", Deed.REFUSE),
    Fault("server crash", Deed.CRASH),
    *(
        Fault(f"{role.value} {deed.value}", deed, role)
        for deed in (Deed.TERMINATE, Deed.END, Deed.RESET)
        for role in LASTING
    ),
    Fault("stall", Deed.STALL),
    Fault("vanished", Deed.VANISH),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A fault at a point."""

    point: Point
    fault: Fault

    @property
    def id(self) -> str:
        """Return a name that no other case has."""
        return f"{self.point.id} - {self.fault.name}"


def cases(points: tuple[Point, ...]) -> tuple[Case, ...]:
    """Return each fault at each of the points that it can meet."""
    return tuple(Case(p, f) for p in points for f in FAULTS if f.may_meet(p))
