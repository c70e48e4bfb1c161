"""Who applies sources: this package, psql, plain Alembic, and peers where they are installed.

``make peers`` installs the peers into ``.peers``, as programs of their own.  Each is told to
give every migration its own transaction, and to write nothing besides.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from alembic_pgpipe.scratch.binaries import find_binaries
from benchmarks.history import UPGRADE, WITHOUT_US
from benchmarks.projects import line, write_project

PEERS = Path(__file__).parents[1] / ".peers"
OURS, PSQL, PLAIN_ALEMBIC = "alembic-pgpipe", "psql", "plain Alembic"
SOURCE = """\
CREATE TABLE public.orders_{0} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer text NOT NULL,
    amount numeric(12, 2) NOT NULL DEFAULT 0,
    placed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX orders_{0}_customer ON public.orders_{0} (customer, placed_at);
CREATE FUNCTION public.total_{0}(wanted text) RETURNS numeric LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT sum(amount) FROM public.orders_{0} WHERE customer = wanted);
END;
$$;
"""
PLAIN = '''\
"""Step {number}."""

from alembic import op

revision = "{revision}"
down_revision = {down!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""{sql}""")
'''


@dataclass(frozen=True, slots=True)
class Work:
    """What a contender gets: an empty folder, and the texts to apply, by file name."""

    folder: Path
    texts: Mapping[str, str]
    psql: str


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who applies sources.

    ``version`` is None where it is not installed.  ``prepare`` writes the project once.
    ``command`` is run in its folder; it finds the database by libpq's variables, or by
    DATABASE_URL.  ``idle`` is what it takes to do nothing, where that is not the same
    command again.
    """

    name: str
    version: str | None
    prepare: Callable[[Work], None]
    command: Callable[[Work], Sequence[str]]
    idle: Callable[[Work], Sequence[str]] | None = None


def contenders() -> tuple[Contender, ...]:
    """Return all of them, also the peers that are not installed."""
    server = find_binaries(os.environ).version
    return (
        Contender(OURS, version("alembic-pgpipe"), _write_ours, _upgrade),
        Contender(PSQL, server, _write_script, _psql("all.psql"), _psql("nothing.psql")),
        Contender(PLAIN_ALEMBIC, version("alembic"), _write_plain, _upgrade_without_us),
        Contender("dbmate", _of_npm("dbmate"), _write_dbmate, _dbmate),
        Contender("node-pg-migrate", _of_npm("node-pg-migrate"), _write_node, _node),
        Contender("yoyo-migrations", _of_yoyo(), _write_yoyo, _yoyo),
    )


def installed(some: Sequence[Contender]) -> tuple[Contender, ...]:
    """Return those that can be run."""
    return tuple(one for one in some if one.version is not None)


def versions(some: Sequence[Contender]) -> tuple[str, ...]:
    """Return names and versions of the peers that are installed, for a report."""
    own = (OURS, PSQL, PLAIN_ALEMBIC)
    return tuple(f"{one.name} {one.version}" for one in installed(some) if one.name not in own)


def _write_ours(work: Work) -> None:
    write_project(work.folder, line(len(work.texts)))
    for name, text in work.texts.items():
        (work.folder / "alembic/sql" / name).write_text(text)


def _write_plain(work: Work) -> None:
    write_project(work.folder, iter(()), plain=True)
    planned = line(len(work.texts))
    for number, (one, text) in enumerate(zip(planned, work.texts.values(), strict=True)):
        down = one.down[0] if one.down else None
        filled = PLAIN.format(number=number, revision=one.id, down=down, sql=text)
        (work.folder / "alembic/versions" / f"{one.id}_step.py").write_text(filled)


def _write_script(work: Work) -> None:
    lines = ["\\set ON_ERROR_STOP on\n"]
    for name, text in work.texts.items():
        (work.folder / name).write_text(text)
        lines.append(f"BEGIN;\n\\i {name}\nCOMMIT;\n")
    (work.folder / "all.psql").write_text("".join(lines))
    (work.folder / "nothing.psql").write_text("")


def _psql(file: str) -> Callable[[Work], Sequence[str]]:
    return lambda work: (work.psql, "-X", "-q", "-f", file)


def _upgrade(_work: Work) -> Sequence[str]:
    return (sys.executable, "-m", "alembic", *UPGRADE)


def _upgrade_without_us(_work: Work) -> Sequence[str]:
    return (sys.executable, "-c", WITHOUT_US, *UPGRADE)


# --- peers ---


def _write_dbmate(work: Work) -> None:
    _write_each(work, "-- migrate:up\n{}\n-- migrate:down\n")


def _dbmate(_work: Work) -> Sequence[str]:
    # The program itself: what npm puts before it is a start of node for nothing.
    [program] = PEERS.glob("npm/node_modules/@dbmate/*/bin/dbmate")
    return (str(program), "--migrations-dir", "migrations", "--no-dump-schema", "migrate")


def _write_node(work: Work) -> None:
    _write_each(work, "-- Up Migration\n{}")


def _node(_work: Work) -> Sequence[str]:
    program = PEERS / "npm/node_modules/.bin/node-pg-migrate"
    return (str(program), "up", "--no-verbose", "--no-single-transaction")


def _write_yoyo(work: Work) -> None:
    _write_each(work, "{}")


def _yoyo(_work: Work) -> Sequence[str]:
    # It reads no variable; the shell is gone before it starts.
    words = 'exec "$0" apply --batch --no-config-file --database "$DATABASE_URL" migrations'
    return ("sh", "-c", words, str(PEERS / "yoyo/bin/yoyo"))


def _write_each(work: Work, form: str) -> None:
    """Write one file for each text into ``migrations``; ``{}`` is the text."""
    folder = work.folder / "migrations"
    folder.mkdir()
    for name, text in work.texts.items():
        (folder / name).write_text(form.replace("{}", text))


def _of_npm(package: str) -> str | None:
    file = PEERS / "npm/node_modules" / package / "package.json"
    return str(json.loads(file.read_text())["version"]) if file.exists() else None


def _of_yoyo() -> str | None:
    python = PEERS / "yoyo/bin/python"
    if not python.exists():
        return None
    ask = "from importlib.metadata import version; print(version('yoyo-migrations'))"
    done = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    return done.stdout.strip()
