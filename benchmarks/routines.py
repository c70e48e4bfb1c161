"""``alembic pgpipe wrap`` with changed routines: ``python -m benchmarks.routines``.

Two projects; the rehearsal is warm.  In one, functions and views on one of them: "new" ships
all for the first time, "changed" all with another body, "wider" one function with one more
argument, so that it and all views are dropped and created anew.  In the other, "first" ships
what a grown project has when it comes: functions, views on tables and over views, triggers,
grants and comments, in files whose names are in no order that a server accepts.  Times are
wall-clock seconds of whole commands.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import count, machine, postgresql, table

HEADER = ("files", "work", "median s", "spread s")
FUNCTION = (
    "CREATE OR REPLACE FUNCTION public.f{number}(a int{more}) RETURNS int LANGUAGE sql "
    "AS 'SELECT a + {body}';\n"
)
VIEW = "CREATE OR REPLACE VIEW public.v{number} AS SELECT public.f0({body}) AS one;\n"
TABLES = "CREATE TABLE public.t (id int PRIMARY KEY, a int, changed date);\n"
# Each needs one that stands behind it.
GROWN = (
    """\
CREATE VIEW public.over{number} AS SELECT id, twice FROM public.v{number};
COMMENT ON VIEW public.over{number} IS 'over a view';
""",
    """\
CREATE TRIGGER g{number} BEFORE UPDATE ON public.t
    FOR EACH ROW EXECUTE FUNCTION public.stamp{number}();
""",
    """\
CREATE VIEW public.v{number} AS SELECT id, public.f{number}(a) AS twice FROM public.t;
GRANT SELECT ON public.v{number} TO PUBLIC;
""",
    """\
CREATE FUNCTION public.stamp{number}() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN NEW.changed := current_date; RETURN NEW; END$$;
""",
    """\
CREATE FUNCTION public.f{number}(a int) RETURNS int LANGUAGE sql AS 'SELECT 2 * a';
REVOKE EXECUTE ON FUNCTION public.f{number}(int) FROM PUBLIC;
COMMENT ON FUNCTION public.f{number}(int) IS 'twice as much';
""",
)
WORK = ("nothing to do", "new", "changed", "wider", "first")


def measure(count: int, rounds: int) -> list[tuple[str, ...]]:
    """Return the lines of the report."""
    seconds: dict[str, list[float]] = {work: [] for work in WORK}
    for _ in range(rounds):
        for measured in (_round, _first):
            with tempfile.TemporaryDirectory(prefix="pgpipe-benchmark-") as folder:
                measured(Path(folder), count, seconds)
    return [
        (str(count), work, f"{statistics.median(s):.2f}", f"{min(s):.2f} – {max(s):.2f}")
        for work, s in seconds.items()
    ]


def _round(project: Path, count: int, seconds: dict[str, list[float]]) -> None:
    _alembic(project, "pgpipe", "init")
    _write(project, 1, 0)
    _alembic(project, "pgpipe", "wrap")
    seconds["nothing to do"].append(_alembic(project, "pgpipe", "wrap"))
    _write(project, count, 1, first=1)
    seconds["new"].append(_alembic(project, "pgpipe", "wrap"))
    _write(project, count, 2)
    seconds["changed"].append(_alembic(project, "pgpipe", "wrap"))
    _write(project, count, 2, more=", b int DEFAULT 1")
    seconds["wider"].append(_alembic(project, "pgpipe", "wrap"))


def _first(project: Path, count: int, seconds: dict[str, list[float]]) -> None:
    _alembic(project, "pgpipe", "init")
    (project / "alembic" / "sql" / "1_tables.sql").write_text(TABLES, encoding="utf-8")
    _write(project, 1, 0)
    _alembic(project, "pgpipe", "wrap")
    for number in range(count):
        group, place = divmod(number, len(GROWN))
        file = project / "alembic" / "routines" / f"{place}_grown{group}.sql"
        file.write_text(GROWN[place].format(number=group + 1), encoding="utf-8")
    seconds["first"].append(_alembic(project, "pgpipe", "wrap"))


def _write(project: Path, count: int, body: int, more: str = "", first: int = 0) -> None:
    """Write working copies: of two, one is a function and one a view."""
    folder = project / "alembic" / "routines"
    for number in range(first, count):
        text = VIEW if number % 2 else FUNCTION
        own = more if number == 0 else ""
        filled = text.format(number=number, body=body, more=own)
        (folder / f"object{number}.sql").write_text(filled, encoding="utf-8")


def _alembic(project: Path, *arguments: str) -> float:
    command = [sys.executable, "-m", "alembic", *arguments]
    environ = {name: value for name, value in os.environ.items() if name != "CI"}
    began = time.perf_counter()
    subprocess.run(command, cwd=project, env=environ, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=count, default=20)
    parser.add_argument("--rounds", type=count, default=3)
    options = parser.parse_args()
    print(machine(postgresql()))
    print(table(HEADER, measure(options.count, options.rounds)))


if __name__ == "__main__":
    main()
