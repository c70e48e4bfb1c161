"""How far a source outside a transaction has come, and what is left where it stops there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class HowFar:
    """How far a source outside a transaction has come: ``done`` counts what is done.

    ``parted`` is the number of a statement that failed and may be done in part.
    """

    total: int = 0
    done: int = 0
    parted: int | None = None


def left_by(how_far: HowFar | None) -> str:
    """Return what a source leaves that has come so far; None where it has not begun."""
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
