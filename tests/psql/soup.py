"""Pieces of SQL to throw together at random."""

from __future__ import annotations

import re

# A backslash stands before nothing that would make it a command that does something;
# a blank follows `:x`, which psql takes for a variable (see cases.py).
PIECES = [
    *("'", "''", "'a'", "'\\'", "E'", "e'\\''", "E'\\\\'", "\\'", "B'1'", "x'", "N'", "U&'a'"),
    *('"', '""', '"x"', 'U&"', "$$", "$a$", "$é$", "a$b$", "$1", "$", "1", "1e5", ".5", "0x"),
    *(";", ";", ";", "\n", "\n", "\r", "\r\n", " ", "\t", "\f", "\n\n"),
    *("--", "-- c\n", "/*", "*/", "/* ; */", "/", "*", "-", "+", "@", "::", ":x ", "%", "=>"),
    *("(", ")", "('a')", "(1;2)", "[", "]", "x", "E", "é", "SELECT ", "case ", "end", "begin "),
    *("COMMIT;", "ROLLBACK;", "BEGIN;", ";CREATE FUNCTION f() BEGIN ATOMIC SELECT 1;"),
    *(
        ";create or replace procedure p() begin atomic ",
        ";SET standard_conforming_strings=off;\n",
    ),
    *(
        ";\nCOPY t FROM STDIN;\n1\t;'\n\\.\n",
        ";\nCOPY t FROM STDIN;\n\\.\n",
        "COPY t TO STDOUT;",
    ),
]
# In strings that go on after a line break psql and the server differ (see cases.py).
CONTINUED = re.compile(r"'[ \t\f]*(?:--[^\n\r]*)?[\r\n](?:\s|--[^\n\r]*[\r\n])*'")
# What follows a parameter without a blank is junk since version 15 (see cases.py).
PARAMETER_JUNK = re.compile(r"\$\d+[^\W\d]")
# psql looks for a routine past any punctuation that a statement starts with (see cases.py).
OPENED = re.compile(r"\([^)]*create\s+(?:or\s+replace\s+)?(?:function|procedure)", re.I)


def is_comparable(text: str) -> bool:
    """Tell whether a text shows none of the differences that are known."""
    continued = "\\" in text and CONTINUED.search(text)
    return not (continued or PARAMETER_JUNK.search(text) or OPENED.search(text))
