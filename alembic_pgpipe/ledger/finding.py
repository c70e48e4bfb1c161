"""One contradiction between ``alembic_version``, the rows and the attempts, and its mending."""

from __future__ import annotations

from dataclasses import dataclass

from alembic_pgpipe.model import Attempt, Revision, Row, Status, UnreadRow

REPAIR = "alembic pgpipe repair"


@dataclass(frozen=True, slots=True)
class SetRow:
    """Give a revision a status; ``before`` is its row as it was read.

    ``proof`` is the attempt that says so; None where a person does.
    """

    revision: Revision
    before: Row | UnreadRow | None
    status: Status
    applied: bool
    proof: Attempt | None = None

    def __str__(self) -> str:
        was = shown_status(self.before) or "no row"
        return f"{was} → {self.status.value}"


@dataclass(frozen=True, slots=True)
class ForgetVersion:
    """Take a revision out of ``alembic_version`` that another one there builds on."""

    version: str

    def __str__(self) -> str:
        return f"alembic_version: without {self.version}"


Mending = SetRow | ForgetVersion


@dataclass(frozen=True, slots=True)
class Finding:
    """One contradiction: what says what, and what would mend it.

    ``mending`` is None where only a person can know; ``answers`` are then what to write
    where the revision is applied, and where it is not; both are None for a revision that
    only ``alembic_version`` knows.
    """

    subject: str
    path: str
    facts: str
    mending: Mending | None = None
    answers: tuple[SetRow, SetRow] | None = None

    @property
    def advice(self) -> str:
        """Return what to type."""
        if self.mending is not None:
            return f"Mend it ({self.mending}): {REPAIR}"
        if self.answers is None:
            return (
                "Only you can know what is applied here. Get its file from the branch that it "
                "comes from, or say it: alembic stamp --purge REVISION"
            )
        return (
            f"Only you can know. If it is applied: {REPAIR} --applied {self.subject}; if it is "
            f"not: {REPAIR} --not-applied {self.subject}"
        )

    def __str__(self) -> str:
        return f"{self.facts}. {self.advice}"


def shown_status(row: Row | UnreadRow | None) -> str | None:
    """Return the status that a row has, as a message shows it; None without a row."""
    if row is None:
        return None
    return row.status.value if isinstance(row, Row) else repr(row.status)
