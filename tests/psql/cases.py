"""The torture files that psql and the reader may not see alike, and why.

Every other file in ``torture`` must be cut exactly as psql cuts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("torture")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Where a file is refused, and words from the hint."""

    line: int
    column: int
    words: str


REFUSED = {
    "refused-connect": Refusal(2, 1, "database = NAME"),
    "refused-set": Refusal(1, 1, "no variables"),
    "refused-echo": Refusal(1, 3, "RAISE NOTICE"),
    "refused-shell": Refusal(2, 1, "runs no programs"),
    "refused-output": Refusal(1, 1, "writes no files"),
    "refused-copy-program": Refusal(1, 1, "COPY … FROM STDIN"),
    "refused-describe": Refusal(3, 3, "\\d+"),
    "refused-go": Refusal(1, 10, "semicolon"),
    "refused-gset": Refusal(1, 15, "semicolon"),
    "refused-gexec": Refusal(2, 1, "semicolon"),
    "refused-watch": Refusal(1, 10, "semicolon"),
    "refused-if": Refusal(1, 1, "DO block"),
    "refused-quit": Refusal(2, 1, "read to its end"),
    "refused-encoding": Refusal(1, 1, "UTF-8"),
    "refused-forced-semicolon": Refusal(1, 9, "plain `;`"),
    "refused-in-a-statement": Refusal(2, 1, "no variables"),
    "refused-in-parentheses": Refusal(2, 1, "\\d"),
    "refused-behind-escape-prefix": Refusal(1, 9, "command of psql"),
    "refused-end-of-data": Refusal(2, 1, "ends COPY data"),
    "refused-restrict-in-a-statement": Refusal(1, 8, "between statements"),
    "refused-open-string": Refusal(2, 8, "string never ends"),
    "refused-open-escape-string": Refusal(1, 8, "string never ends"),
    "refused-open-name": Refusal(1, 8, "name never ends"),
    "refused-open-dollar": Refusal(1, 8, "quote never ends"),
    "refused-open-comment": Refusal(2, 1, "comment never ends"),
    "refused-open-parenthesis": Refusal(1, 8, "never closed"),
    "refused-open-atomic": Refusal(1, 21, "BEGIN has no END"),
    "refused-open-copy": Refusal(1, 1, "no end of data"),
    "refused-copy-without-semicolon": Refusal(1, 1, "no end of data"),
    "refused-copy-on-one-line": Refusal(1, 19, "next line"),
    "refused-copies-on-one-line": Refusal(1, 19, "next line"),
    "refused-not-utf8": Refusal(2, 9, "not UTF-8"),
    "refused-utf16": Refusal(1, 1, "UTF-16"),
    "refused-nul": Refusal(2, 9, "NUL"),
}

_OPEN_STRING = (
    "psql reads line by line and forgets at a line break that a string is an E'' string: "
    "what it sends ends inside a string, and every server refuses it"
)
_VARIABLES = "psql puts in the values of its variables; a source has none"
_COLON = (
    "psql takes `:x` for a variable, even in a slice like a[1:x], and so reads what follows "
    "as a new token; the server, and the reader, see `:` and a name or a string"
)
_COMMENT = (
    "psql sends a comment ahead of COPY data or of a command with the statement behind them, "
    "from which it is cut off in the file"
)
# Differences that are meant; the files that show them must go on differing.
MEANT = {
    "colon-then-escape-string": _COLON,
    "colon-then-name-with-dollars": _COLON,
    "colon-variable-test": _VARIABLES,
    "colon-variables-of-psql": _VARIABLES,
    "copy-then-comment": _COMMENT,
    "restrict-behind-a-comment": _COMMENT,
    "crlf-continued-string": _OPEN_STRING,
    "escape-string-continued": _OPEN_STRING,
    "escape-string-continued-blank-lines": _OPEN_STRING,
}

_BINARY = "psql reads binary COPY data to the end of the file; the reader stops at `\\.`"
_JUNK = "psql 15 takes $1E and $1begin for one token, the reader for two (no server runs it)"
_STRINGS = (
    "the reader follows SET standard_conforming_strings in the text alone; a run compares it "
    "with the server's setting before each message, and stops where they differ"
)
_ONE_LINE = "psql follows the setting from the next line on, and sends what no server takes"
# Differences that no file meets which a server runs, or that a run refuses.
ACCEPTED = {
    "begin-after-parameter": _JUNK,
    "escape-prefix-after-parameter": _JUNK,
    "begin-behind-a-routine-in-parentheses": (
        "psql looks for CREATE FUNCTION past any punctuation that a statement starts with, "
        "the reader does not; no server runs such a statement"
    ),
    "copy-binary": _BINARY,
    "copy-binary-option": _BINARY,
    "encoding-that-eats-quotes": "a source is UTF-8, so the reader refuses another encoding",
    "include": "a text by itself includes nothing; the tests of the source's files show it",
    "strings-local-in-a-transaction": _STRINGS,
    "strings-local-without-a-transaction": _STRINGS,
    "strings-off-same-line": _ONE_LINE,
    "strings-off-within-a-string": _ONE_LINE,
    "strings-rolled-back": _STRINGS,
    "strings-set-config": _STRINGS,
}


def files() -> list[str]:
    """Return the names of all torture files."""
    return sorted(path.stem for path in FOLDER.glob("*.sql"))


def file(name: str) -> Path:
    """Return where a torture file is."""
    return FOLDER / f"{name}.sql"
