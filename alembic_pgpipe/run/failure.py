"""Say why a step failed: the file, the line with a caret, the server's own words."""

from __future__ import annotations

import re
import traceback
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from alembic_pgpipe.errors import Cause, SourceError
from alembic_pgpipe.model import Failure, Problem, Revision, ServerError
from alembic_pgpipe.run.routine_lines import Body, Frame, do_body, frames, routine_body
from alembic_pgpipe.run.step import Step
from alembic_pgpipe.sending.server_errors import StatementError, is_server_error, server_error
from alembic_pgpipe.showable import CONTEXT, bounded
from alembic_pgpipe.source.loading import Source
from alembic_pgpipe.source.reader import Statement
from alembic_pgpipe.source.text import read_lines
from alembic_pgpipe.sqlstates import INSUFFICIENT_PRIVILEGE

COPY_LINE = re.compile(r"^COPY [^\n]*?, line (\d+)", re.MULTILINE)
MUST_BE_OWNER = "must be owner of "
BEFORE_ROLE = (
    "What was made before pgpipe.role was set keeps its owner. Let a superuser run: "
    "REASSIGN OWNED BY … TO {role};"
)
ONE_OWNER = (
    "The credentials come from AWS, and a rotation may swap users: what one has made is not "
    "the other's. Let one role own it all: CREATE ROLE shop_owner; GRANT shop_owner TO both; "
    "REASSIGN OWNED BY both TO shop_owner; and set pgpipe.role = shop_owner."
)
LINE_LIMIT = 160
LINES_AFTER = 1
FRAMES_LOOKED_FOR = 5


def describe_failure(
    error: BaseException,
    revision: Revision,
    source: Source | None,
    project: Path,
    applied: Iterable[Source] = (),
    *,
    at_end: bool = False,
    recording: bool = False,
) -> Failure:
    """Return the failure of a step for the ledger, the log and the terminal.

    ``project`` is the folder that the paths of sources are relative to.  ``applied`` are
    the sources that may have created the routines it passed through, the newest first.
    ``at_end`` says that the step had nothing more to do but what is deferred, and
    ``recording`` that even this was done.
    """
    if isinstance(error, StatementError):
        return _statement_failure(error, project, applied)
    if isinstance(error, SourceError):
        return _source_failure(error, project)
    if is_server_error(error):
        said = server_error(error)
        path = source.path if source else revision.path
        if recording:
            return _recording_failure(said, path)
        return _deferred_failure(said, path) if at_end else _server_failure(said, path)
    if recording and source is not None:
        return _unrecorded_failure(error, source.path)
    return _python_failure(error, revision)


def owner_advice(failure: Failure, role: str | None, *, from_aws: bool) -> tuple[str, ...]:
    """Return how objects get one owner, where a rotation that swaps users is to blame."""
    if failure.sqlstate != INSUFFICIENT_PRIVILEGE or MUST_BE_OWNER not in failure.message:
        return ()
    if role is not None:
        return (BEFORE_ROLE.format(role=role),)
    return (ONE_OWNER,) if from_aws else ()


def cause_of(revision: Revision, failure: Failure) -> Cause:
    """Return what an error tells a program of a failed step."""
    file, line = failure.file or "", failure.line or 0
    message = re.sub(rf"\A{re.escape(file)}(:\d+){{0,2}}: ", "", failure.message)
    message = _in_one(message, failure.sqlstate, *failure.details)
    column = failure.column or int(line > 0)
    return Cause(revision.id, revision.name, message, file, line, column)


def problem_of(error: StatementError | SourceError) -> Problem:
    """Return an error of one statement, or of a file, as a finding of ``check``."""
    if isinstance(error, SourceError):
        return Problem(error.path, error.problem, error.line, error.column)
    said = error.error
    message = _in_one(said.message, said.sqlstate, *_details(said))
    return Problem(error.statement.path, message, *_place(said, error.statement))


def _in_one(message: str, sqlstate: str | None, *details: str) -> str:
    """Return in one line what the server says."""
    code = f" ({sqlstate})" if sqlstate is not None else ""
    return ". ".join([message.rstrip(".") + code, *(one.rstrip(".") for one in details)])


def _details(said: ServerError) -> tuple[str, ...]:
    return tuple(part for part in (said.detail, said.hint) if part)


def _statement_failure(
    error: StatementError, project: Path, applied: Iterable[Source]
) -> Failure:
    said, path = error.error, error.statement.path
    line, column = _place(said, error.statement)
    where = f"{path}:{line}:{column}"
    count = f"  (statement {error.number} of {error.total})"
    shown = excerpt(project / path, line, column)
    routines = _routine_lines(error, project, applied)
    lines = [f"{where}  {_code(said)}{count}", *shown, *_words(said), *routines]
    return Failure(
        message=f"{where}: {said.message}",
        text="\n".join(lines),
        sqlstate=said.sqlstate,
        details=_details(said),
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
        details=_details(said),
        file=path,
    )


def _recording_failure(said: ServerError, path: str) -> Failure:
    """Return a failure that no statement of the step's own has to do with."""
    failure = _server_failure(said, path)
    return replace(
        failure,
        message=f"{failure.message} (while its version and status were written)",
        text=f"{failure.text}\nIts own statements were done; this came while its version and "
        "status were written.",
    )


def _unrecorded_failure(error: BaseException, path: str) -> Failure:
    """Return the failure where the tables are not as this run had left them.

    The first sentence of the error says which; what it advises is for a step that is over.
    """
    found = re.split(r"; |\. ", str(error))[0]
    return Failure(
        message=f"{path}: {found} (while its version and status were written)",
        text=f"{path}  {found}\nIts own statements were done; this came while its version and "
        "status were written. If the file itself writes into the ledger's tables, or into "
        "alembic_version, take that out of it.",
        file=path,
    )


def _deferred_failure(said: ServerError, path: str) -> Failure:
    """Return a failure of a constraint that is checked when all statements are done."""
    failure = _server_failure(said, path)
    if said.constraint is None and said.context is None:
        # Neither a constraint nor a trigger: it is none of what was deferred.
        return failure
    if said.constraint is not None:
        by = f"the deferred constraint {said.constraint} of table {said.table}"
        why = (
            f"The constraint {said.constraint} of table {said.table} is deferred: it is checked"
        )
    else:
        by = "a deferred constraint trigger"
        why = "A deferred constraint trigger has raised it: it is run"
    first, _, rest = failure.text.partition("\n")
    why += " at the commit, so that no one line of the file is to blame."
    return replace(
        failure,
        message=f"{failure.message} (at the commit, by {by})",
        text=f"{first}  (at the commit)\n{rest}\n{why}",
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
    context = bounded(said.context, CONTEXT) if said.context else None
    parts = (("DETAIL", said.detail), ("HINT", said.hint), ("CONTEXT", context))
    words = [said.message, *(f"{name}: {value}" for name, value in parts if value)]
    if said.internal_query is not None:
        words += ["QUERY:", *_internal(said.internal_query, said.internal_position)]
    return words


def _internal(query: str, position: int | None) -> list[str]:
    """Return a routine's own statement, with a caret where the server means a place in it."""
    if position is None:
        return [f"  {line}" for line in bounded(query, CONTEXT).splitlines()]
    before = query[: position - 1]
    line, column = before.count("\n") + 1, position - 1 - before.rfind("\n")
    lines = query.split("\n")[line - 1 : line + LINES_AFTER]
    return _with_caret([one.rstrip("\r") for one in lines], line, column)


def _routine_lines(
    error: StatementError, project: Path, applied: Iterable[Source]
) -> list[str]:
    """Return the lines of files that the CONTEXT means; the innermost one is shown."""
    lines: list[str] = []
    for frame, body in _found(error, applied):
        line = body.line_of(frame)
        if line is not None:
            lines.append(f"{body.path}:{line}  {frame.label}")
            if len(lines) == 1:
                first = read_lines(project / body.path, line, 1)
                indent = len(first[0]) - len(first[0].lstrip()) if first else 0
                lines += excerpt(project / body.path, line, indent + 1)
    return lines


def _found(error: StatementError, applied: Iterable[Source]) -> Iterator[tuple[Frame, Body]]:
    passed = tuple(dict.fromkeys(frames(error.error)))[:FRAMES_LOOKED_FOR]
    bodies: dict[Frame, Body] = {}
    wanted = [frame for frame in passed if not frame.is_do_block]
    for source in applied if wanted else ():
        for frame in wanted:
            if frame not in bodies and (body := _body_in(source, frame)) is not None:
                bodies[frame] = body
        if len(bodies) == len(wanted):
            break
    for frame in passed:
        body = bodies.get(frame)
        # A DO block inside a routine looks the same; only the outermost is the source's own.
        if frame.is_do_block and frame is passed[-1] and error.statement.words[:1] == ("DO",):
            body = do_body(error.statement)
        if body is not None:
            yield frame, body


def _body_in(source: Source, frame: Frame) -> Body | None:
    try:
        return routine_body(frame, source.statements())
    except SourceError:
        # A file that cannot be read now has nothing to say about an error elsewhere.
        return None


def excerpt(path: Path, line: int, column: int) -> list[str]:
    """Return a line of a file with a caret under its column, and the line after it."""
    return _with_caret(read_lines(path, line, 1 + LINES_AFTER), line, column)


def _with_caret(lines: list[str], line: int, column: int) -> list[str]:
    if not lines:
        return []
    width = len(str(line + LINES_AFTER))
    first, column = _window(lines[0], column)
    return [
        f"  {line:>{width}} | {first}",
        f"  {'':>{width}} | {''.join(map(_blank, first[: column - 1]))}^",
        *(
            f"  {number:>{width}} | {_short(following)}"
            for number, following in enumerate(lines[1:], line + 1)
        ),
    ]


def _window(text: str, column: int) -> tuple[str, int]:
    """Return the part of a long line that has the column, and the column in it."""
    if column <= LINE_LIMIT - 1:
        return _short(text), column
    start = column - LINE_LIMIT // 2
    return _short("…" + text[start:]), column - start + 1


def _blank(character: str) -> str:
    """Return what takes the room of a character on a terminal."""
    if character == "\t" or unicodedata.combining(character):
        return character if character == "\t" else ""
    return "  " if unicodedata.east_asian_width(character) in "WF" else " "


def _short(line: str) -> str:
    return line if len(line) <= LINE_LIMIT else line[: LINE_LIMIT - 1] + "…"


def ending(step: Step, left: str, *, again: bool, broken: bool) -> str:
    """Return the last line of a failure: what is left of the step, and what to type next.

    ``left`` says the one; ``again`` means that the same step is tried once more by itself,
    ``broken`` that only the connection was lost.
    """
    if again:
        return left
    if broken and not step.upwards:
        return f"{left} · the next run goes on from here"
    if not step.upwards:
        return f"{left} · it still counts as applied: mend {step.file}, then downgrade again"
    id_ = step.revision.id
    on = "the next run goes on from here" if broken else f"retry: alembic pgpipe retry {id_}"
    return f'{left} · {on} · skip: alembic pgpipe skip {id_} --reason "…"'


def indented(text: str) -> str:
    """Return a text as a block below a line of the log."""
    return "\n".join(f"  {line}" for line in text.splitlines())
