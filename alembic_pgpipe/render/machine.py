"""What a command found, as JSON for other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from alembic_pgpipe.model import BuildRecord, Holder, Revision, RevisionState
from alembic_pgpipe.showable import HARMFUL

if TYPE_CHECKING:
    # What one command found is shown without importing the others.
    from alembic_pgpipe.commands.check import CheckReport
    from alembic_pgpipe.commands.drift import DriftReport
    from alembic_pgpipe.commands.status import StatusReport


def status_json(report: StatusReport) -> str:
    """Return the status of the revisions as JSON; times are ISO 8601."""
    return _dump(
        {
            "database": report.database,
            "heads": list(report.heads),
            "running": _holder(report.holder),
            "agrees": report.agrees,
            "earlier": report.earlier,
            "revisions": [_revision(state) for state in report.revisions],
        }
    )


def _holder(holder: Holder | None) -> dict[str, Any] | None:
    if holder is None:
        return None
    return {
        "pid": holder.pid,
        "build": holder.build,
        "since": holder.since.isoformat() if holder.since else None,
        "seconds": int(holder.age.total_seconds()) if holder.age is not None else None,
    }


def drift_json(report: DriftReport) -> str:
    """Return what is not as the project made it as JSON; a diff is a list of lines."""
    sides = (report.routines, report.tables)
    return _dump(
        {
            "database": report.database,
            "compared": sum(side.total for side in sides if side is not None),
            "unmade": report.unmade,
            "pending": report.pending,
            "notes": report.notes,
            "objects": [
                {
                    "kind": one.drift.object.kind.value,
                    "object": one.drift.object.identity,
                    "state": one.drift.state.value,
                    "parts": list(one.drift.parts),
                    "file": one.file,
                    "diff": list(one.drift.diff()),
                }
                for one in report.found
            ],
        }
    )


def log_json(record: BuildRecord) -> str:
    """Return a build with its log as JSON."""
    started = record.started_at.isoformat() if record.started_at else None
    return _dump(
        {
            "build_number": record.number,
            "status": record.status,
            "started_at": started,
            "logs": record.logs,
        }
    )


def check_json(report: CheckReport, said: Callable[[str], str]) -> str:
    """Return the findings of a check as JSON; ``said`` returns a text without its secrets.

    ``run`` is where what is pending was run, and null where it was only read.  Of a pending
    revision that is ``passed_over`` an upgrade runs nothing: its source says ``--skip``.
    """
    tried = report.tried
    return _dump(
        {
            "problems": [
                {
                    "file": one.file or None,
                    "line": one.line or None,
                    "column": one.column or None,
                    "message": said(one.message),
                    "excerpt": [said(line) for line in one.excerpt],
                }
                for one in report.problems
            ],
            "notes": [said(note) for note in report.notes],
            "pending": [
                {**_named(one), "passed_over": one.id in report.passed_over}
                for one in report.pending
            ],
            "changed_routines": report.routines,
            "run": tried
            and {
                "where": tried.where.value,
                "revisions": tried.revisions,
                "changed_routines": tried.routines,
            },
        }
    )


def _named(revision: Revision) -> dict[str, Any]:
    return {
        "revision": revision.id,
        "name": revision.name,
        "source": revision.source,
        "file": revision.path,
    }


def _revision(state: RevisionState) -> dict[str, Any]:
    return {
        **_named(state.revision),
        "status": state.status.value,
        "applied": state.applied,
        "at": state.at.isoformat() if state.at else None,
        "build_number": state.build_number,
        "who": state.who,
        "reason": state.reason,
        "logs": state.logs,
        "notes": list(state.notes),
    }


def _dump(value: object) -> str:
    # What would move a terminal's cursor, or is no text, is written as its number.
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return HARMFUL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
