"""Hostile names of files: ``python -m tests.integration.hostile_files.names NUMBER SEED``.

Names are made by chance, which the seed decides: of those that can be stored each must be
wrapped and applied once, of the others each must be refused by name.  The command prints
how many were tried, and what came out.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.scratch.server import scratch_server
from alembic_pgpipe.showable import HARMFUL
from alembic_pgpipe.source.files import discover
from tests.project import Project

NUMBER = 2_000
SOURCE = "INSERT INTO public.applied VALUES (1);\n"
REFUSAL = "cannot be stored. Rename it, then: "
# Names that are known to be hard for a template, a shell, an .ini file, SQL or a person.
KNOWN = (
    *("a b", " a", "a ", "a'b", 'a"b', 'a"""b', "a\\", "\\n", "-x", "--help", "100%", "%s"),
    *("%(rev)s", "${x}", "<%x%>", "## x", "% if x:", "{x}", "a;b", ":x", "$HOME", "`id`", "#"),
    *("head", "base", "'; DROP TABLE x; --", "<b>x", "[red]x", "a.sql", "é", "عربي", "日本"),
    *("a\u0301\u0301", "😀", "ǆ", "x" * 251, "ü" * 120, "NUL", "a:b", "*", "?", "~", "@", "+"),
)
PIECES = (
    *"abc019_.- '\"\\%${}<>#;:`*?~@+=!&|()[]^,",
    "é",
    "e\u0301",
    "ع",
    "日",
    "😀",
    "\u0301",
)
UNFIT = (
    *"\n\r\t\x1b\x7f\x01",
    "\u202e",
    "\u2028",
    "\u200b",
    "\udcff",
    "\udc80",
    "\xa0",
    "\ufeff",
)


def made(seed: int, count: int, pieces: tuple[str, ...], one_of: tuple[str, ...]) -> list[str]:
    """Return names from pieces, with one of some others in each."""
    choices = random.Random(seed)
    names = []
    for _ in range(count):
        parts = choices.choices(pieces, k=choices.randint(1, 12))
        parts.insert(choices.randrange(len(parts) + 1), choices.choice(one_of))
        names.append("".join(parts))
    return names


def distinct(names: list[str]) -> Iterator[str]:
    """Yield the names that are one file each, wherever they are checked out."""
    seen: set[str] = set()
    for name in names:
        # What begins with a dot is hidden, and .up and .down say what a file is for.
        plain = unicodedata.normalize("NFC", name.removesuffix(".up"))
        if plain not in seen and not plain.startswith(".") and not plain.endswith(".down"):
            seen.add(plain)
            yield name


def storable(seed: int, number: int) -> list[str]:
    """Return names that can be stored: the known ones, and some by chance."""
    return list(distinct([*KNOWN, *made(seed, number, PIECES, ("",))]))


def applied_once(project: Project, names: list[str]) -> int:
    """Wrap and apply a source of each name; return how many were applied once each."""
    for name in names:
        project.source(name, SOURCE)
    project.query("CREATE TABLE public.applied (n int)")
    project.ok("pgpipe", "wrap")
    project.ok("pgpipe", "wrap", "--check")
    project.ok("upgrade", "head")
    known = {name.removesuffix(".up") for name in names}
    done = [name for name, status in project.ledger().items() if status == "SUCCESS"]
    there = project.scalar("SELECT count(*) FROM public.applied")
    return len(known & set(done)) if there == len(done) else 0


def refusals(folder: Path, seed: int, number: int) -> tuple[int, int]:
    """Return how many names the file system took that no ledger can, and how many are refused.

    A refusal names its file in one line, harmlessly.
    """
    tried = refused = 0
    for name in made(seed, number, PIECES, UNFIT):
        path = folder / f"x{name}.sql"
        if _touched(path):
            tried += 1
            refused += _is_refused(folder)
            path.unlink()
    return tried, refused


def _touched(path: Path) -> bool:
    try:
        path.touch()
    except OSError:
        return False
    return path.exists()


def _is_refused(folder: Path) -> bool:
    try:
        discover(folder, folder)
    except SourceError as error:
        text = str(error)
        return REFUSAL in text and not HARMFUL.search(text) and "\n" not in text
    return False


def main(arguments: list[str]) -> int:
    """Return the exit code: 1 where a name was neither applied once nor refused."""
    number = int(arguments[0]) if arguments else NUMBER
    seed = int(arguments[1]) if arguments[1:] else random.randrange(1 << 32)
    names = storable(seed, number)
    with tempfile.TemporaryDirectory(prefix="pgpipe-names-") as name:
        folder = Path(name)
        for part in ("project", "files"):
            (folder / part).mkdir()
        with scratch_server(folder / "scratch", os.environ) as server:
            done = applied_once(Project(folder / "project", server.url("postgres")), names)
        tried, refused = refusals(folder / "files", seed, number)
    sys.stdout.write(
        f"{len(names)} names that can be stored: {done} wrapped and applied once each\n"
        f"{tried} names that cannot: {refused} refused by name (seed {seed})\n"
    )
    return int(done != len(names) or refused != tried)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
