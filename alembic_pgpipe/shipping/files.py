"""The files of revisions that ship routines: a wrapper, what it runs, and its undo."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from alembic_pgpipe.errors import RevisionError, RoutineError, SourceError
from alembic_pgpipe.revisions.wrapper import Wrapper, revision_id
from alembic_pgpipe.routines.composed import (
    Copied,
    Part,
    Section,
    composed,
    refuse_directives,
    shared,
)
from alembic_pgpipe.run.failure import problem_of
from alembic_pgpipe.sending.server_errors import StatementError
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.shipping.anew import script
from alembic_pgpipe.shipping.shipment import Shipment
from alembic_pgpipe.shipping.stage import Stage
from alembic_pgpipe.source.directives import without_header_directives
from alembic_pgpipe.source.files import SEVERAL, source_name, undo_file

NOT_WORD = re.compile(r"\W+")
SLUG_LIMIT = 60


@dataclass(frozen=True, slots=True)
class RoutineRevision:
    """A shipment with its files: a wrapper, the text that it runs, and that of its undo."""

    wrapper: Wrapper
    text: str
    undo: str | None
    notes: tuple[str, ...]

    @property
    def files(self) -> Mapping[str, str]:
        """Return the texts to be written, by their names among the sources."""
        files = {str(self.wrapper.source): self.text}
        if self.undo is not None:
            files[str(self.wrapper.undo)] = self.undo
        return files


def routine_revisions(
    stage: Stage, shipments: Sequence[Shipment], message: str | None, *, together: bool
) -> Sequence[RoutineRevision]:
    """Return the revisions; one of all changes is tried as a whole, back and forth."""
    settings = stage.rehearsal.settings
    try:
        made = list(_revisions(settings, shipments, message, together=together))
        for one in made if len(shipments) > len(made) else ():
            with stage.undone():
                stage.run(one.undo or "", str(one.wrapper.undo))
                stage.run(one.text, str(one.wrapper.source))
    except (SourceError, StatementError) as error:
        raise RoutineError(
            f"One revision cannot hold these changes, and no routine was written:\n"
            f"  {problem_of(error)}\n"
            "Without --together, each of them is a revision of its own."
        ) from error
    return made


def refuse_present(settings: Settings, made: Iterable[RoutineRevision]) -> None:
    """Raise RoutineError where a file would be written over, as a snapshot never is."""
    paths = [settings.sources / name for one in made for name in one.files]
    there = ", ".join(settings.shown(path) for path in paths if path.exists())
    if there:
        raise RoutineError(
            f"{there}: there already, and a snapshot is never written over. No routine was "
            "written. Move it away, then: alembic pgpipe wrap"
        )


def write_files(settings: Settings, revision: RoutineRevision) -> None:
    """Write what a revision runs, and its undo, among the sources."""
    settings.sources.mkdir(parents=True, exist_ok=True)
    for name, text in revision.files.items():
        (settings.sources / name).write_text(text, encoding="utf-8", newline="")


def _revisions(
    settings: Settings, shipments: Sequence[Shipment], message: str | None, *, together: bool
) -> Iterator[RoutineRevision]:
    if message is not None and len(shipments) > 1 and not together:
        raise RevisionError(
            f"These are {len(shipments)} changes, and --message names one revision. Nothing of "
            "them was written. One revision for all: alembic pgpipe wrap --together --message …"
        )
    if together and len(shipments) > 1:
        yield _together(settings, shipments, message)
        return
    for shipment in shipments:
        yield _alone(shipment, message)


def _alone(shipment: Shipment, message: str | None) -> RoutineRevision:
    first = shipment.changes[0]
    several = SEVERAL.removesuffix(".sql") if len(shipment.changes) > 1 else ""
    source = f"{first.name}.v{first.version:03}{several}.sql"
    undo = undo_file(source)
    if shipment.undo is None and first.before is not None:
        undo = first.before.file
    return _revision(source, undo, message, shipment.parts, shipment.undo, shipment.notes)


def _together(
    settings: Settings, shipments: Sequence[Shipment], message: str | None
) -> RoutineRevision:
    now = datetime.now(timezone.utc)
    slug = NOT_WORD.sub("_", (message or "").lower()).strip("_")[:SLUG_LIMIT].rstrip("_")
    first = shipments[0].changes[0]
    name = f"{now:%Y%m%d_%H%M}_{slug}" if slug else f"{first.name}.v{first.version:03}"
    parts = [part for one in shipments for part in _in_sections(one)]
    undo = "\n".join(_undo_text(one) for one in reversed(shipments))
    notes = tuple(note for one in shipments for note in one.notes)
    source = _unused(settings, name)
    return _revision(source, undo_file(source), message, parts, undo, notes)


def _unused(settings: Settings, name: str) -> str:
    """Return the name of a source of several that no earlier one of that minute has."""
    names = (f"{name}{SEVERAL}", *(f"{name}_{number}{SEVERAL}" for number in range(2, 1000)))
    return next(one for one in names if not (settings.sources / one).exists())


def _revision(
    source: str,
    undo: str,
    message: str | None,
    parts: Sequence[Part],
    undo_text: str | None,
    notes: tuple[str, ...],
) -> RoutineRevision:
    name = source_name(source)
    wrapper = Wrapper(revision_id(name), (), message or name, source, undo)
    return RoutineRevision(wrapper, composed(parts), undo_text, notes)


def _in_sections(shipment: Shipment) -> Sequence[Part]:
    """Return a shipment's parts for a source that others share."""
    parts = shipment.parts
    if any(isinstance(part, Copied) for part in parts):
        for change in shipment.changes:
            refuse_directives(change.new, change.path)
    if len(shipment.changes) > 1:
        return parts
    (change,) = shipment.changes
    if parts == (Copied(change.new),):
        parts = shared(change.new, change.path)
    return (Section(change.name, change.version), *parts)


def _undo_text(shipment: Shipment) -> str:
    """Return a shipment's way back so that others can follow it."""
    change = shipment.changes[0]
    text = change.old if shipment.undo is None else shipment.undo
    # Nobody can take directives out of a snapshot any more.
    return script(shared(without_header_directives(text), change.path))
