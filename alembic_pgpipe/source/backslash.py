r"""psql's backslash commands: the few that a source may use, and why not the others."""

from __future__ import annotations

import re
from dataclasses import dataclass

COMMAND = re.compile(r"\\(?:[A-Za-z_]+\+?|\S)?")
RESTRICT = re.compile(r"\\(?:un)?restrict[ \t]+[A-Za-z0-9]+[ \t\r]*(?=\n|\Z)")
INCLUDE = re.compile(
    r"\\(?P<command>i|include|ir|include_relative)[ \t]+"
    r"(?:'(?P<quoted>[^'\n\r]+)'|(?P<bare>[^\s';]+))[ \t]*;?[ \t\r]*(?=\n|\Z)"
)
RELATIVE = frozenset({"ir", "include_relative"})
# No command is longer than this; a match that ends here cannot be cut off.
LONGEST = 4096

_DATABASE_HINT = "a source names its database with `-- pgpipe: database = NAME`"
_INCLUDE_HINT = "it includes a file only alone on a line, between statements: \\i FILE"
_SEND_HINT = "end the statement with a semicolon"
_SHELL_HINT = "a source runs no programs and writes no files; do that in the pipeline"
_VARIABLE_HINT = (
    "sources have no variables; write the value itself, or remove it where it only sets up "
    "psql, as ON_ERROR_STOP does"
)
_BRANCH_HINT = "sources have no branches; use a DO block"
HINTS = (
    (("c", "connect"), _DATABASE_HINT),
    (("i", "include", "ir", "include_relative"), _INCLUDE_HINT),
    (("copy",), "use COPY … FROM STDIN with the data in this file"),
    (("!", "o", "out", "w", "write", "s", "cd", "setenv"), _SHELL_HINT),
    (("g", "gx", "gdesc", "gexec", "gset", "bind", "parse", "sendpipeline"), _SEND_HINT),
    (("watch", "crosstabview", "p", "r"), _SEND_HINT),
    ((";",), "write a plain `;`: statements are sent one by one"),
    (("set", "unset", "getenv", "prompt"), _VARIABLE_HINT),
    (("if", "elif", "else", "endif"), _BRANCH_HINT),
    (("q", "quit"), "remove it: a source is read to its end"),
    (("echo", "qecho", "warn"), "use RAISE NOTICE in a DO block"),
    (("encoding",), "sources are UTF-8; remove it"),
    ((".",), "it ends COPY data, and no `COPY … FROM STDIN;` is open here"),
    (("restrict", "unrestrict"), "it must stand alone on a line, between statements"),
)


@dataclass(frozen=True, slots=True)
class Inclusion:
    r"""One ``\i FILE`` or ``\ir FILE``; a relative one starts at the including file."""

    file: str
    relative: bool
    line: int
    column: int


def refusal(text: str, at: int) -> str:
    """Return why a backslash command cannot be used, with a hint where there is one."""
    match = COMMAND.match(text, at)
    command = match[0] if match else "\\"
    hint = next((hint for names, hint in HINTS if command[1:] in names), "remove it")
    return f"{command} is a command of psql, which a source cannot use; {hint}"
