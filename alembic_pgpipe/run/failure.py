"""Say why a step failed: the file, the line with a caret, the server's own words."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import Failure, Revision, ServerError
from alembic_pgpipe.run.executor import StatementError, is_server_error, server_error
from alembic_pgpipe.source import Source, Statement, read_lines

COPY_LINE = re.compile(r"^COPY [^\n]*?, line (\d+)", re.MULTILINE)
LINE_LIMIT = 160
LINES_AFTER = 1


def describe_failure(
    error: BaseException,
    revision: Revision,
    source: Source | None,
    project: Path,
) -> Failure:
    """Return the failure of a step for the ledger, the log and the terminal.

    ``project`` is the folder that the paths of sources are relative to.
    """
    if isinstance(error, StatementError):
        return _statement_failure(error, project)
    if isinstance(error, SourceError):
        return _source_failure(error, project)
    if is_server_error(error):
        said = server_error(error)
        return _server_failure(said, source.path if source else revision.path)
    return _python_failure(error, revision)


def _statement_failure(error: StatementError, project: Path) -> Failure:
    said, path = error.error, error.statement.path
    line, column = _place(said, error.statement)
    where = f"{path}:{line}:{column}"
    count = f"  (statement {error.number} of {error.total})"
    shown = excerpt(project / path, line, column)
    text = "\n".join([f"{where}  {_code(said)}{count}", *shown, *_words(said)])
    return Failure(
        message=f"{where}: {said.message}",
        text=text,
        sqlstate=said.sqlstate,
        file=path,
        line=line,
        column=column,
        statement=error.number,
        total=error.total,
    )


def _place(said: ServerError, statement: Statement) -> tuple[int, int]:
    """Return the place that the server names, else where the statement starts."""
    if said.position is not None:
        return statement.position_of(said.position)
    row = COPY_LINE.search(said.context or "")
    if statement.data is not None and row is not None:
        return statement.data.line + int(row[1]) - 1, 1
    return statement.line, statement.column


def _source_failure(error: SourceError, project: Path) -> Failure:
    lines = [f"{error.where}  {error.problem}"]
    if error.line:
        lines += excerpt(project / error.path, error.line, error.column)
    return Failure(
        message=str(error),
        text="\n".join(lines),
        file=error.path,
        line=error.line or None,
        column=error.column or None,
    )


def _server_failure(said: ServerError, path: str) -> Failure:
    return Failure(
        message=f"{path}: {said.message}",
        text="\n".join([f"{path}  {_code(said)}", *_words(said)]),
        sqlstate=said.sqlstate,
        file=path,
    )


def _python_failure(error: BaseException, revision: Revision) -> Failure:
    message = f"{type(error).__name__}: {error}".rstrip(": ")
    line = _line_in(error, revision.path)
    where = f"{revision.path}:{line}" if line else revision.path
    return Failure(
        message=f"{where}: {message}", text=f"{where}  {message}", file=revision.path, line=line
    )


def _line_in(error: BaseException, path: str) -> int | None:
    """Return the innermost line of the revision's own file in a traceback."""
    name = Path(path).name
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).name == name]
    return lines[-1] if lines else None


def _code(said: ServerError) -> str:
    return " ".join(part for part in (said.sqlstate, said.condition) if part) or "error"


def _words(said: ServerError) -> list[str]:
    parts = (("DETAIL", said.detail), ("HINT", said.hint), ("CONTEXT", said.context))
    return [said.message, *(f"{name}: {value}" for name, value in parts if value)]


def excerpt(path: Path, line: int, column: int) -> list[str]:
    """Return a line of a file with a caret under its column, and the line after it."""
    lines = read_lines(path, line, 1 + LINES_AFTER)
    if not lines:
        return []
    width = len(str(line + LINES_AFTER))
    shown = [f"  {line:>{width}} | {_short(lines[0])}"]
    if column <= LINE_LIMIT:
        indent = "".join("\t" if c == "\t" else " " for c in lines[0][: column - 1])
        shown.append(f"  {'':>{width}} | {indent}^")
    shown += [
        f"  {number:>{width}} | {_short(following)}"
        for number, following in enumerate(lines[1:], line + 1)
    ]
    return shown


def _short(line: str) -> str:
    return line if len(line) <= LINE_LIMIT else line[: LINE_LIMIT - 1] + "…"


def ways_out(revision: Revision, file: str) -> str:
    """Return the three ways to get a failed revision going again."""
    return (
        f"edit {file} and run again, or: alembic pgpipe retry {revision.id}, or: "
        f'alembic pgpipe skip {revision.id} --reason "…"'
    )


def indented(text: str) -> str:
    """Return a text as a block below a line of the log."""
    return "\n".join(f"  {line}" for line in text.splitlines())


def counted(count: int) -> str:
    """Return a number of revisions in words."""
    return f"{count} revision{'s' if count != 1 else ''}"
