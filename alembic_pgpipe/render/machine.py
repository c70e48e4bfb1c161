"""What a command found, as JSON for other programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from alembic_pgpipe.model import BuildRecord, Holder, RevisionState
from alembic_pgpipe.showable import HARMFUL

if TYPE_CHECKING:
    # What one command found is shown without importing the others.
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
    """Return what differs from the snapshots as JSON; a diff is a list of lines."""
    return _dump(
        {
            "database": report.database,
            "compared": report.compared,
            "unmade": report.unmade,
            "pending": report.pending,
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


def _revision(state: RevisionState) -> dict[str, Any]:
    return {
        "revision": state.revision.id,
        "name": state.revision.name,
        "source": state.revision.source,
        "file": state.revision.path,
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
