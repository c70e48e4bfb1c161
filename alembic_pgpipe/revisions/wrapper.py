"""Wrappers: the id and the file of a revision whose body runs a source."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from importlib import resources
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util import format_as_comma
from mako.template import Template

from alembic_pgpipe.source.files import same_name

ID_LENGTH = 12
DATE_PREFIX = re.compile(r"\A[Vv]?[0-9]+(?:[._-][0-9]+)*[._-]*")
NOT_WORD = re.compile(r"\W+")
RUNS_SOURCES = "op.run_source"


@dataclass(frozen=True, slots=True)
class Wrapper:
    """A revision to be written; ``source`` and ``undo`` are relative to the sources."""

    revision: str
    down_revision: tuple[str, ...]
    message: str
    source: str | None
    undo: str | None


def revision_id(name: str) -> str:
    """Return the revision id of a source, from its name alone.

    The same source gives the same id in every clone and on every branch.
    """
    return hashlib.sha256(same_name(name).encode()).hexdigest()[:ID_LENGTH]


def only_runs_its_source(text: str) -> bool:
    """Return whether a revision's upgrade, by its file's text, is a wrapper's and no more."""
    bodies = [
        node.body
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name == "upgrade"
    ]
    return [list(map(ast.unparse, body)) for body in bodies] == [[f"{RUNS_SOURCES}(source)"]]


def does_nothing(text: str) -> bool:
    """Return whether a revision's upgrade, by its file's text, does nothing, as a merge's."""
    bodies = [
        node.body
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name == "upgrade"
    ]
    return len(bodies) == 1 and all(
        isinstance(one, ast.Pass)
        or (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
        for one in bodies[0]
    )


def message_for(name: str) -> str:
    """Return a source's name as a sentence would say it: without date, with blanks."""
    words = DATE_PREFIX.sub("", name, count=1) or name
    return " ".join(re.split(r"[_\-.\s/]+", words)).strip() or name


@dataclass(frozen=True)
class WrapperWriter:
    """Writes wrappers into the versions folder, by a template that is compiled once."""

    script: ScriptDirectory
    versions: Path

    def write(self, wrapper: Wrapper) -> Path:
        """Write a wrapper and return its path.

        A file that holds half of one would break the history: it gets its name when it is
        whole.
        """
        now = datetime.now(timezone.utc).replace(microsecond=0)
        path = self.versions / f"{_file_name(self.script, wrapper, now)}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        try:
            part.write_text(self._render(wrapper, now), encoding="utf-8")
            part.replace(path)
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise
        return path

    def _render(self, wrapper: Wrapper, now: datetime) -> str:
        return str(
            self._template.render(
                up_revision=wrapper.revision,
                down_revision=_scalar(wrapper.down_revision),
                branch_labels=None,
                depends_on=None,
                create_date=now,
                comma=format_as_comma,
                message=wrapper.message,
                wrapper=wrapper,
            )
        )

    @cached_property
    def _template(self) -> Template:
        """Prefer the project's own template where it knows how to wrap a source."""
        own = Path(self.script.dir, "script.py.mako")
        wraps = own.is_file() and RUNS_SOURCES in own.read_text(encoding="utf-8")
        file = own if wraps else packaged_template()
        return Template(filename=str(file), input_encoding="utf-8")


def packaged_template() -> Path:
    """Return the template that ``init`` copies into a project."""
    return Path(str(resources.files("alembic_pgpipe") / "templates" / "script.py.mako"))


def _scalar(revisions: Sequence[str]) -> str | tuple[str, ...] | None:
    """Return revisions as Alembic writes them: none, one, or a tuple of several."""
    if not revisions:
        return None
    return revisions[0] if len(revisions) == 1 else tuple(revisions)


def _file_name(script: ScriptDirectory, wrapper: Wrapper, now: datetime) -> str:
    """Return a file's name by the project's ``file_template``, as Alembic does."""
    slug = NOT_WORD.sub("_", wrapper.message.lower()).strip("_")
    return script.file_template % {
        "rev": wrapper.revision,
        "slug": slug[: script.truncate_slug_length].rstrip("_"),
        "epoch": int(now.timestamp()),
        "year": now.year,
        "month": now.month,
        "day": now.day,
        "hour": now.hour,
        "minute": now.minute,
        "second": now.second,
    }
