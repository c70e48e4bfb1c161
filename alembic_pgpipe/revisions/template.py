"""What the script template asks: which source does the new revision run?

``alembic revision -m "add users"`` renders the template; the empty source that the
wrapper runs is written at that moment, beside the others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

from alembic.config import Config

from alembic_pgpipe.revisions.wrapper import Wrapper
from alembic_pgpipe.settings import NEW_SOURCES, read_settings

COMMENTS = re.compile(r"#[^\n]*")
NOT_WORD = re.compile(r"\W+")
SLUG_LIMIT = 60


def wrapper_for(arguments: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the source and the undo of the revision that is being written.

    Both are None for a merge and for a revision that has Python operations, such as
    ``--autogenerate`` finds; those stay plain Alembic revisions.
    """
    wrapper: Wrapper | None = arguments.get("wrapper")
    if wrapper is not None:
        return wrapper.source, wrapper.undo
    merges = isinstance(arguments.get("down_revision"), (tuple, list))
    if merges or _has_operations(arguments):
        return None, None
    return _new_source(arguments["config"], arguments["message"], arguments["create_date"])


def in_docstring(text: str) -> str:
    """Return a text as it may stand between triple quotes, whatever it holds."""
    return text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')


def _has_operations(arguments: Mapping[str, Any]) -> bool:
    body = COMMENTS.sub("", str(arguments.get("upgrades") or "")).strip()
    return body not in ("", "pass")


def _new_source(config: Config, message: str, created: datetime) -> tuple[str, str]:
    settings = read_settings(config)
    slug = NOT_WORD.sub("_", message.lower()).strip("_")[:SLUG_LIMIT].rstrip("_")
    name = f"{created:%Y%m%d_%H%M}_{slug or 'migration'}"
    settings.sources.mkdir(parents=True, exist_ok=True)
    name = _free(settings.sources, name)
    with (settings.sources / f"{name}.sql").open("x", encoding="utf-8") as file:
        file.write(f"-- {' '.join(message.split())}\n")
    written = settings.shown(settings.sources / f"{name}.sql")
    config.attributes.setdefault(NEW_SOURCES, []).append(written)
    return f"{name}.sql", f"{name}.down.sql"


def _free(folder: Path, name: str) -> str:
    """Return a name that no source has: two may get one message in the same minute."""
    names = chain((name,), (f"{name}_{number}" for number in count(2)))
    return next(each for each in names if not (folder / f"{each}.sql").exists())
