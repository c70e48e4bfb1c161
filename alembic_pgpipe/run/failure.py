"""Say why a step failed: the file, the line with a caret, the server's own words."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import Failure, Revision, ServerError
from alembic_pgpipe.run.executor import StatementError, is_server_error, server_error
from alembic_pgpipe.source import Source

LINE_END = re.compile(r"\r\n|\r|\n")
LINE_LIMIT = 160
LINES_AFTER = 1


def describe_failure(
    error: BaseException, revision: Revision, source: Source | None, total: int | None
) -> Failure:
    """Return the failure of a step for the ledger, the log and the terminal."""
    if isinstance(error, StatementError) and error.source is not None:
        own = source is not None and error.source.file == source.file
        return _statement_failure(error, error.source, total if own else None)
    if isinstance(error, SourceError):
        return _source_failure(error, source)
    if is_server_error(error):
        said = server_error(error)
        return _server_failure(said, source.path if source else revision.path)
    return _python_failure(error, revision)


def _statement_failure(error: StatementError, source: Source, total: int | None) -> Failure:
    said, statement = error.error, error.statement
    line, column = statement.line, statement.column
    if said.position is not None:
        line, column = statement.position_of(said.position)
    where = f"{source.path}:{line}:{column}"
    count = f"  (statement {error.number} of {total})" if total else ""
    text = "\n".join(
        [f"{where}  {_code(said)}{count}", *excerpt(source.text, line, column), *_words(said)]
    )
    return Failure(
        message=f"{where}: {said.message}",
        text=text,
        sqlstate=said.sqlstate,
        file=source.path,
        line=line,
        column=column,
        statement=error.number,
        total=total,
    )


def _source_failure(error: SourceError, source: Source | None) -> Failure:
    lines = [f"{error.where}  {error.problem}"]
    if source is not None and error.line:
        lines += excerpt(source.text, error.line, error.column)
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


def excerpt(text: str, line: int, column: int) -> list[str]:
    """Return a line of a source with a caret under its column, and the line after it."""
    lines = LINE_END.split(text)
    if not 0 < line <= len(lines):
        return []
    width = len(str(line + LINES_AFTER))
    shown = [f"  {line:>{width}} | {_short(lines[line - 1])}"]
    if column <= LINE_LIMIT:
        indent = "".join("\t" if c == "\t" else " " for c in lines[line - 1][: column - 1])
        shown.append(f"  {'':>{width}} | {indent}^")
    shown += [
        f"  {number:>{width}} | {_short(following)}"
        for number, following in enumerate(lines[line : line + LINES_AFTER], line + 1)
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
