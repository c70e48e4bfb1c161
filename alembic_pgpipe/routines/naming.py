"""Names of files for objects: readable, stable, and safe in every file system."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from alembic_pgpipe.objects.heads import types_of
from alembic_pgpipe.objects.held import Address, DatabaseObject

UNSAFE = re.compile(r"[^\w]+")
ARRAY = re.compile(r"\[\]")
# With a version and an ending behind it, a snapshot's name must fit 255 bytes.
LONGEST_BYTES = 120
DIGEST_LENGTH = 6


def file_names(
    objects: Iterable[DatabaseObject], taken: Iterable[str] = ()
) -> Mapping[Address, str]:
    """Return a path below the routines' folder for each object: ``SCHEMA/NAME.sql``.

    ``taken`` are paths that others have.  Routines that share a name get their types into
    it, a trigger or policy its table; case does not tell two names apart.
    """
    known = tuple(objects)
    short = [_path(one, "") for one in known]
    used = {path.lower() for path in taken}
    found = {}
    for one, path in zip(known, short, strict=True):
        if short.count(path) > 1 or path.lower() in used:
            path = _path(one, "-".join(map(_type, types_of(one))))  # noqa: PLW2901
        if path.lower() in used:
            path = _path(one, _digest(one.identity))  # noqa: PLW2901
        used.add(path.lower())
        found[one.address] = path
    return found


def _path(found: DatabaseObject, tail: str) -> str:
    names = (found.relation, found.name) if found.relation else (found.name,)
    base = _fit(".".join(map(_safe, names)) + (f"-{tail}" if tail else ""))
    folder = _fit(_safe(found.schema)) if found.schema else ""
    return str(PurePosixPath(folder, f"{base}.sql"))


def _safe(name: str) -> str:
    """Return a name without what file systems or shells trip over; never the same for two."""
    safe = UNSAFE.sub("_", name)
    return safe if safe == name else f"{safe}-{_digest(name)}"


def _type(type_: str) -> str:
    bare = type_.rpartition(".")[2]
    return UNSAFE.sub("_", ARRAY.sub("_array", bare)).strip("_").lower()


def _fit(name: str) -> str:
    if len(name.encode()) <= LONGEST_BYTES:
        return name
    kept = name.encode()[: LONGEST_BYTES - DIGEST_LENGTH - 1].decode("utf-8", "ignore")
    return f"{kept}-{_digest(name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
