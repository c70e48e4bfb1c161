"""The house: which room may import from which, and who alone may do what."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "alembic_pgpipe"
ROOT = Path(__file__).parents[1] / PACKAGE
# From the ground up; rooms of one floor know nothing of each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("showable", "ending", "sqlstates"),
    ("errors", "model"),
    ("configuration", "invocation"),
    ("access", "settings", "source"),
    # What a connection may need first.
    ("aws", "scratch"),
    # What a database holds of objects is read without knowing of a project.
    ("connect", "ledger", "objects"),
    # How a text gets to the server, whatever it is for.
    ("sending",),
    # A run reads the project's revisions; they and the working copies know nothing of a run.
    ("revisions", "routines", "watching", "outside"),
    ("run",),
    # One room in three files: env.py, revisions and our own commands each call one.
    ("operations", "environment", "project"),
    # Where what is to be shipped is tried, and nothing stays.
    ("rehearsal",),
    # Where working copies are tried in it.
    ("shipping",),
    # Where a database is compared with it.
    ("drift",),
    ("commands",),
    ("render",),
    ("cli", "plugin"),
)
ONE_ROOM = {"operations": "environment", "project": "environment", "plugin": "cli"}
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
LONGEST_FUNCTION = 40
# The last two know Alembic's own table: where it is, and how a version is taken out of it.
LEDGER = {
    "ledger.attempts",
    "ledger.build_rows",
    "ledger.held_lock",
    "ledger.other_tools",
    "ledger.reading",
    "ledger.recorder",
    "ledger.relations",
    "ledger.script",
    "ledger.steps",
    "ledger.tables",
    "ledger.elsewhere",
    "ledger.versions",
}
# Who alone may import what; "sqlalchemy.select" is a name, "boto3" all of a library.
SOLE_USERS = {
    "boto3": {"aws.secrets"},
    "botocore": {"aws.secrets"},
    "psycopg2": {
        "sending.driver",
        "sending.executor",
        "sending.rows",
        "sending.server_errors",
        "sending.waiting",
        "ledger.encoding",
    },
    "wrapt": {"plugin"},
    **{
        f"sqlalchemy.{name}": LEDGER
        for name in ("Table", "MetaData", "select", "insert", "update", "delete")
    },
}
TALKERS = {"cli.printing", "plugin"}
EXITS = {"print", "exit", "quit", "sys.exit", "SystemExit", "sys.stdout.write", "click.echo"}
LEDGER_SQL = re.compile(
    r"\b(?:FROM|JOIN|INTO|UPDATE|TABLE(?: IF NOT EXISTS)?) +[\w.{}\"]*"
    r"\b(?:migrations|migration_logs|migration_attempts)\b"
)


@dataclass(frozen=True)
class Module:
    """One module of the package, by its name within the package."""

    name: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """Return the room that it is in."""
        return self.name.partition(".")[0]

    def imports(self) -> Iterator[str]:
        """Yield what it imports anywhere, as ``module.name``."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    def calls(self) -> Iterator[str]:
        """Yield what it calls or raises, as it is written."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield ast.unparse(node.func)
            elif isinstance(node, ast.Raise) and node.exc is not None:
                yield ast.unparse(node.exc)

    def functions(self) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
        """Yield its functions, and how many lines each has."""
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield node, (node.end_lineno or node.lineno) - node.lineno + 1

    def texts(self) -> Iterator[str]:
        """Yield its literal texts, of f-strings too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield ast.unparse(node)


@cache
def modules() -> dict[str, Module]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] != "templates" and parts != ("__init__",):
            name = ".".join(parts).removesuffix(".__init__")
            found[name] = Module(name, ast.parse(path.read_text("utf-8")))
    return found


def neighbours(module: Module) -> set[str]:
    """Return the modules of the package that a module imports from."""
    own = (
        name.removeprefix(f"{PACKAGE}.")
        for name in module.imports()
        if name.startswith(f"{PACKAGE}.")
    )
    return {name if name in modules() else name.rpartition(".")[0] for name in own}


def may_import(room: str, other: str) -> bool:
    same = ONE_ROOM.get(room, room) == ONE_ROOM.get(other, other)
    return same or FLOOR[other] < FLOOR[room]


def test_the_map_of_the_house_is_true() -> None:
    page = (ROOT.parent / "CONTRIBUTING.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \| (.+) \|$", page, re.MULTILINE)
    rooms = [room for floor in reversed(FLOORS) for room in sorted(floor)]
    assert rows == [(room, said_of(room)) for room in rooms]


def said_of(room: str) -> str:
    """Return what a room says of itself in its first line."""
    docstring = ast.get_docstring(modules()[room].tree) or ""
    return docstring.partition("\n")[0].replace("``", "`")


def test_every_module_is_in_a_room() -> None:
    assert {module.room for module in modules().values()} == set(FLOOR)


def test_a_room_imports_only_from_the_floors_below() -> None:
    wrong = [
        f"{name} imports from {other}"
        for name, module in modules().items()
        for other in neighbours(module)
        if not may_import(module.room, other.partition(".")[0])
    ]
    assert wrong == []


def test_no_imports_go_in_a_circle() -> None:
    graph = {name: neighbours(module) for name, module in modules().items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize("thing", SOLE_USERS)
def test_one_module_alone_uses_it(thing: str) -> None:
    users = {
        name
        for name, module in modules().items()
        if any(f"{used}.".startswith(f"{thing}.") for used in module.imports())
    }
    assert users <= SOLE_USERS[thing]


def test_only_the_ledger_writes_sql_against_its_tables() -> None:
    wrong = [
        f"{name}: {text}"
        for name, module in modules().items()
        for text in module.texts()
        if module.room != "ledger" and LEDGER_SQL.search(text)
    ]
    assert wrong == []


def test_only_the_command_line_prints_and_exits() -> None:
    wrong = [
        f"{name}: {call}"
        for name, module in modules().items()
        for call in module.calls()
        if name not in TALKERS and call.partition("(")[0] in EXITS
    ]
    assert wrong == []


def test_functions_are_short() -> None:
    wrong = [
        f"{name}.{function.name}: {lines} lines"
        for name, module in modules().items()
        for function, lines in module.functions()
        if lines > LONGEST_FUNCTION
    ]
    assert wrong == []
