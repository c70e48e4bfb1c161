"""The reader cuts as psql does; the cases were compared with psql itself."""

from __future__ import annotations

from contextlib import suppress
from time import process_time

import pytest

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source.reader import Reader, read_statements, without_comments
from alembic_pgpipe.source.text import decode
from tests.histories import history

# Text, and the statements that it is cut into.
CUTS: list[tuple[str, list[str]]] = [
    # nothing
    ("", []),
    (";", []),
    (" ;;\n;\t;", []),
    ("-- only a comment", []),
    ("-- only a comment\n;", []),
    ("/* only */ -- comments\n/* ; */", []),
    ("\n\n  \r\n", []),
    # semicolons
    ("SELECT 1", ["SELECT 1"]),
    ("SELECT 1;", ["SELECT 1;"]),
    ("SELECT 1;SELECT 2", ["SELECT 1;", "SELECT 2"]),
    ("SELECT 1;;;SELECT 2;", ["SELECT 1;", "SELECT 2;"]),
    ("  SELECT 1 ;\n\n", ["SELECT 1 ;"]),
    ("SELECT 1 -- tail", ["SELECT 1"]),
    ("SELECT 1 /* tail */ -- more \n", ["SELECT 1"]),
    ("SELECT 1 /* in */ + 2", ["SELECT 1 /* in */ + 2"]),
    ("/* head */ SELECT 1;", ["/* head */ SELECT 1;"]),
    ("\vSELECT 1;\fSELECT 2;", ["SELECT 1;", "SELECT 2;"]),
    # plain strings
    ("SELECT 'a;b'; SELECT 2;", ["SELECT 'a;b';", "SELECT 2;"]),
    ("SELECT 'it''s;'; SELECT 2;", ["SELECT 'it''s;';", "SELECT 2;"]),
    ("SELECT '\\'; SELECT 2;", ["SELECT '\\';", "SELECT 2;"]),
    ("SELECT '''' || ';'; SELECT ''''';'; S", ["SELECT '''' || ';';", "SELECT ''''';';", "S"]),
    ("SELECT 'a\r\n;\r\n\r\nb'; SELECT 2", ["SELECT 'a\r\n;\r\n\r\nb';", "SELECT 2"]),
    ("SELECT 'a' -- c'\n 'b;'; SELECT 2", ["SELECT 'a' -- c'\n 'b;';", "SELECT 2"]),
    ("SELECT '--'; SELECT '/*';", ["SELECT '--';", "SELECT '/*';"]),
    ("SELECT '%s %% {x} :y';", ["SELECT '%s %% {x} :y';"]),
    # strings with a prefix
    ("SELECT E'a\\';b'; SELECT 2", ["SELECT E'a\\';b';", "SELECT 2"]),
    ("SELECT e'\\\\'; SELECT 2", ["SELECT e'\\\\';", "SELECT 2"]),
    ("SELECT E'it''s\\';'; SELECT 2", ["SELECT E'it''s\\';';", "SELECT 2"]),
    ("SELECT E'\\\n;'; SELECT 2", ["SELECT E'\\\n;';", "SELECT 2"]),
    ("SELECT E'a'\n'b\\'c;'; SELECT 2", ["SELECT E'a'\n'b\\'c;';", "SELECT 2"]),
    ("SELECT E'a' -- x\n -- '\n '\\';'; S", ["SELECT E'a' -- x\n -- '\n '\\';';", "S"]),
    ("SELECT E'a' '\\'; S", ["SELECT E'a' '\\';", "S"]),
    ("SELECT 1 AS nameE'\\'; S", ["SELECT 1 AS nameE'\\';", "S"]),
    ("SELECT 1 AS a$E'\\'; S", ["SELECT 1 AS a$E'\\';", "S"]),
    ("SELECT $E'\\';'; S", ["SELECT $E'\\';';", "S"]),
    ("SELECT éE'\\'; S", ["SELECT éE'\\';", "S"]),
    ("SELECT 0x1E'\\'; S", ["SELECT 0x1E'\\';", "S"]),
    ("SELECT $$a$$E'\\';'; S", ["SELECT $$a$$E'\\';';", "S"]),
    ("SELECT \"a\"E'\\';'; S", ["SELECT \"a\"E'\\';';", "S"]),
    ("DO E'\\';'; S", ["DO E'\\';';", "S"]),
    ("E'\\';'; S", ["E'\\';';", "S"]),
    ("'e'; Se", ["'e';", "Se"]),
    ("SELECT B'1;0'; SELECT X'1F;'; S", ["SELECT B'1;0';", "SELECT X'1F;';", "S"]),
    ("SELECT N'a\\'; SELECT n';'; S", ["SELECT N'a\\';", "SELECT n';';", "S"]),
    ("SELECT U&'\\0041;'; S", ["SELECT U&'\\0041;';", "S"]),
    # quoted names
    ('SELECT "a;b"; S', ['SELECT "a;b";', "S"]),
    ('SELECT "a"";b"; S', ['SELECT "a"";b";', "S"]),
    ('SELECT U&"a;b"; S', ['SELECT U&"a;b";', "S"]),
    ('SELECT "it\'s"; S', ['SELECT "it\'s";', "S"]),
    ('SELECT "--", "/*", "$$"; S', ['SELECT "--", "/*", "$$";', "S"]),
    # dollar quotes
    ("SELECT $$a;b'$$; S", ["SELECT $$a;b'$$;", "S"]),
    ("SELECT $x$ $$;$$ $x$; S", ["SELECT $x$ $$;$$ $x$;", "S"]),
    ("SELECT $é$;$é$; S", ["SELECT $é$;$é$;", "S"]),
    ("SELECT $A1$;$a1$;$A1$; S", ["SELECT $A1$;$a1$;$A1$;", "S"]),
    ("SELECT $_$;$_$; S", ["SELECT $_$;$_$;", "S"]),
    ("SELECT $a$ $b$; $a$b$a$; S", ["SELECT $a$ $b$; $a$b$a$;", "S"]),
    ("SELECT $$$$; SELECT $$a$$$$b;$$; S", ["SELECT $$$$;", "SELECT $$a$$$$b;$$;", "S"]),
    ("SELECT a$b$c; SELECT x$$; S", ["SELECT a$b$c;", "SELECT x$$;", "S"]),
    ("SELECT é$b$c; S$b$", ["SELECT é$b$c;", "S$b$"]),
    ("SELECT a1$1$b$; S", ["SELECT a1$1$b$;", "S"]),
    ("PREPARE p AS SELECT $1::int; S", ["PREPARE p AS SELECT $1::int;", "S"]),
    ("SELECT $1$a$;$a$; S", ["SELECT $1$a$;$a$;", "S"]),
    ("SELECT 1$a$;$a$; S", ["SELECT 1$a$;$a$;", "S"]),
    ("SELECT $1, $a; S", ["SELECT $1, $a;", "S"]),
    ("DO $do$ BEGIN; $do$; S", ["DO $do$ BEGIN; $do$;", "S"]),
    # comments
    ("SELECT 1 -- ; x\n; S", ["SELECT 1 -- ; x\n;", "S"]),
    ("SELECT 1 --;\r; S", ["SELECT 1 --;\r;", "S"]),
    ("-- a\rSELECT 1; S", ["SELECT 1;", "S"]),
    ("SELECT 1 --;\r\n; S", ["SELECT 1 --;\r\n;", "S"]),
    ("SELECT /* ; /* ; */ ; */ 1; S", ["SELECT /* ; /* ; */ ; */ 1;", "S"]),
    ("SELECT 1/*;**/; S", ["SELECT 1/*;**/;", "S"]),
    ("SELECT 2*/*c;*/3; S", ["SELECT 2*/*c;*/3;", "S"]),
    ("SELECT 4-/*;*/-1; S", ["SELECT 4-/*;*/-1;", "S"]),
    ("SELECT 5 @-- x;\n 1; S", ["SELECT 5 @-- x;\n 1;", "S"]),
    ("SELECT 1 /* it's $$ \" */; S", ["SELECT 1 /* it's $$ \" */;", "S"]),
    ("SELECT 1 -- it's $$ \" /*\n; S", ["SELECT 1 -- it's $$ \" /*\n;", "S"]),
    ("SELECT 8/-2, 8 / 2, 1 - 1; S", ["SELECT 8/-2, 8 / 2, 1 - 1;", "S"]),
    # parentheses
    ("SELECT (1;2); S", ["SELECT (1;2);", "S"]),
    ("SELECT ((1;2);3); S", ["SELECT ((1;2);3);", "S"]),
    ("SELECT 1)); S", ["SELECT 1));", "S"]),
    ("VALUES ('a;)', 1), (-1, now()); S", ["VALUES ('a;)', 1), (-1, now());", "S"]),
    ("VALUES (--)\n1); S", ["VALUES (--)\n1);", "S"]),
    ("VALUES (/*)*/1); S", ["VALUES (/*)*/1);", "S"]),
    ("VALUES (E'\\')', $$)$$, \")\"); S", ["VALUES (E'\\')', $$)$$, \")\");", "S"]),
    (
        "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b); S",
        ["CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b);", "S"],
    ),
    ("VALUES (" + "'x'," * 300 + "';'); S", ["VALUES (" + "'x'," * 300 + "';');", "S"]),
    # what psql would interpret and the reader does not
    ("SELECT :x, :'y;', :\"z;\", a[1:2]; S", ["SELECT :x, :'y;', :\"z;\", a[1:2];", "S"]),
    ("\\restrict abc\nSELECT 1;\n\\unrestrict abc\n", ["SELECT 1;"]),
    ("\\restrict abc\r\nSELECT 1;\r\n\\unrestrict abc", ["SELECT 1;"]),
]

ATOMIC = [
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END;",
    "create or replace procedure p() begin atomic; insert into t values (1); end;",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; END;",
    "CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN CASE WHEN b THEN 2 END END; END;",
    "CREATE FUNCTION f() BEGIN ATOMIC SELECT (CASE WHEN a THEN 1 END); SELECT 1; END;",
    'CREATE FUNCTION f() BEGIN ATOMIC SELECT "end" FROM x; END;',
    "CREATE FUNCTION f() BEGIN ATOMIC SELECT 'end;' -- end;\n; END;",
    "CREATE FUNCTION f() BEGIN ATOMIC SELECT x.ending, $$end$$ FROM beginner x; END;",
    'CREATE FUNCTION f("begin" int) RETURNS int AS $$BEGIN;$$;',
    "CREATE FUNCTION f(begin int DEFAULT (CASE WHEN true THEN 1 END)) RETURNS int AS 'x;';",
    "CREATE FUNCTION f() RETURNS trigger AS $f$ BEGIN RETURN NULL; END; $f$;",
    "CREATE -- a comment\n OR /* x */ REPLACE FUNCTION f() BEGIN ATOMIC SELECT 1; END;",
    "CREATE VIEW begin AS SELECT CASE WHEN a THEN 1 END AS begin;",
    "BEGIN;",
]

COPIES: list[tuple[str, str, str]] = [
    ("COPY t FROM STDIN;", "1\t;\n2\t'\n", "\\.\n"),
    ("COPY t FROM STDIN;", "", "\\.\n"),
    ("COPY t (a, b) FROM STDIN WITH (FORMAT csv);", '1,"a\n\\.x"\n', "\\.\n"),
    ('copy "from" from stdin with csv header;', "a\n", "\\.\n"),
    ("COPY t FROM STDIN;", "1\r\n", "\\.\r\n"),
    ("COPY t FROM /* here */ STDIN -- now\n;", "x\n \\.\n\\..\n", "\\.\n"),
    ("COPY t FROM STDOUT;", "$$\n(\n/*\n", "\\.\n"),
    ("COPY public.t FROM stdin WHERE a > 1;", "SELECT 1;\n", "\\.\n"),
    ("COPY BINARY t FROM STDIN;", "x\n", "\\."),
]

REFUSED: list[tuple[str, int, int, str]] = [
    ("SELECT 1;\nSELECT 'abc;", 2, 8, "string never ends"),
    ("SELECT ('abc;", 1, 9, "string never ends"),
    ("SELECT E'a\\';", 1, 8, "string never ends"),
    ("SELECT E'a\\", 1, 8, "string never ends"),
    ("SELECT '", 1, 8, "string never ends"),
    ('\n  SELECT "abc;\n', 2, 10, "name never ends"),
    ("SELECT $x$ $$;", 1, 8, "$x$ quote never ends"),
    ("SELECT 1;\n/* a /* b */", 2, 1, "comment never ends"),
    ("SELECT /* a", 1, 8, "comment never ends"),
    ("SELECT (1, (2);\nSELECT 3;", 1, 8, "parenthesis is never closed"),
    ("CREATE FUNCTION f() BEGIN ATOMIC SELECT 1;", 1, 21, "BEGIN has no END"),
    ("COPY t FROM STDIN;\n1\n", 1, 1, "no end of data"),
    ("SELECT 1; COPY t FROM STDIN;", 1, 11, "no end of data"),
    ("COPY t FROM STDIN", 1, 1, "no end of data"),
    ("COPY t FROM STDIN; SELECT 1;\n1\n\\.\n", 1, 19, "starts on the next line"),
    ("SELECT 1;\n\\connect other\n", 2, 1, "`-- pgpipe: database = NAME`"),
    ("\\c other", 1, 1, "`-- pgpipe: database = NAME`"),
    ("SELECT 1 \\i x.sql", 1, 10, "\\i is a command of psql"),
    ("\\ir x.sql y", 1, 1, "alone on a line"),
    ("\\copy t from 'x.csv'", 1, 1, "COPY … FROM STDIN"),
    ("\\! rm -rf /", 1, 1, "\\! is a command"),
    ("SELECT 1 \\g", 1, 10, "semicolon"),
    ("SELECT 1 \\gexec", 1, 10, "semicolon"),
    ("SELECT 1 \\; SELECT 2;", 1, 10, "plain `;`"),
    ("\\o out.txt", 1, 1, "writes no files"),
    ("\\set x 1", 1, 1, "no variables"),
    ("\\if true", 1, 1, "no branches"),
    ("\\echo hi", 1, 1, "RAISE NOTICE"),
    ("\\dt+ x", 1, 1, "\\dt+ is a command"),
    ("\\.", 1, 1, "ends COPY data"),
    ("\\", 1, 1, "command of psql"),
    ("SELECT \\restrict abc\n1;", 1, 8, "between statements"),
    ("\\restrict abc \\! ls\n", 1, 1, "alone on a line"),
    ("SELECT 1;\nSET standard_conforming_strings = maybe;", 2, 1, "on or off"),
    ("SET client_encoding = 'SJIS';", 1, 1, "sources are UTF-8"),
    ("SELECT 1;\n SET NAMES 'latin1';", 2, 2, "sources are UTF-8"),
]


@pytest.mark.parametrize(("text", "cut"), CUTS)
def test_cuts_like_psql(text: str, cut: list[str]) -> None:
    assert [statement.text for statement in read_statements(text, "f.sql")] == cut


@pytest.mark.parametrize("text", ATOMIC)
def test_keeps_routine_bodies_whole(text: str) -> None:
    texts = [s.text for s in read_statements(f"{text}\nSELECT 1;{text}", "f.sql")]
    assert texts == [text, "SELECT 1;", text]


@pytest.mark.parametrize(("copy", "data", "end"), COPIES)
def test_takes_copy_data(copy: str, data: str, end: str) -> None:
    newline = "\r\n" if "\r" in end else "\n"
    rest = "SELECT 'after';" if end.endswith("\n") else ""
    text = f"SELECT 1;{newline}{copy} -- so\n{data}{end}{rest}"
    statements = read_statements(text, "f.sql")
    found = [s.data and s.data.read() for s in statements]
    assert found == [None, data, None][: len(statements)]
    assert statements[1].text == copy
    assert len(statements) == (3 if rest else 2)


@pytest.mark.parametrize(
    "text",
    [
        "COPY t TO STDOUT; SELECT 1;",
        "COPY t TO STDIN; SELECT 1;",
        "COPY (SELECT a FROM stdin) TO STDOUT; SELECT 1;",
        "COPY t FROM '/tmp/stdin'; SELECT 1;",
        'COPY t FROM "stdin"; SELECT 1;',
        "SELECT a FROM stdin; SELECT 1;",
    ],
)
def test_other_copies_have_no_data(text: str) -> None:
    assert [s.data for s in read_statements(text, "f.sql")] == [None, None]


@pytest.mark.parametrize(("text", "line", "column", "words"), REFUSED)
def test_refuses_with_the_place(text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_statements(text, "sql/f.sql")
    assert (caught.value.line, caught.value.column) == (line, column)
    assert words in caught.value.problem
    assert str(caught.value).startswith(f"sql/f.sql:{line}:{column}: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "create /* x */ unique\n-- y\nindex Concurrently i on t",
            "CREATE UNIQUE INDEX CONCURRENTLY I ON T",
        ),
        ("BEGIN;", "BEGIN"),
        ("begin/**/;", "BEGIN"),
        ("SET a.b = 1;", "SET A.B"),
        ("VACUUM (FULL) t;", "VACUUM"),
        ('ALTER TABLE "a b" . c DETACH x', 'ALTER TABLE "a b" . c DETACH X'),
        ("ALTER TABLE a . b DETACH x", "ALTER TABLE A.B DETACH X"),
        ("DO E'x'", "DO"),
        ("DO $$x$$", "DO"),
        ("(SELECT 1)", ""),
        ("SELECT -1", "SELECT"),
        ("beg\u0131n work", "beg\u0131n WORK"),
        ("\u017fet x = 1", "\u017fet X"),
        ("a b c d e f g h i j k l m n", "A B C D E F G H I J K L"),
        ("a b c d e f g h i j k l m n (1)", "A B C D E F G H I J K L"),
    ],
)
def test_words(text: str, words: str) -> None:
    (statement,) = read_statements(text, "f.sql")
    assert " ".join(statement.words) == words


def test_accepts_what_pg_dump_sets() -> None:
    text = (
        "SET standard_conforming_strings = on; SET standard_conforming_strings TO 'on' /* x */;"
    )
    assert len(read_statements(text, "f.sql")) == 2


def test_places() -> None:
    text = "-- é\n\n  SELECT 'ü',\n    nope;  SELECT 2;\r\nSELECT\r\n x"
    first, second, third = read_statements(text, "f.sql")
    assert [(s.line, s.column) for s in (first, second, third)] == [(3, 3), (4, 12), (5, 1)]
    assert first.position_of(1) == (3, 3)
    assert first.position_of(first.text.index("'ü'") + 1) == (3, 10)
    assert first.position_of(first.text.index("nope") + 1) == (4, 5)
    assert second.position_of(8) == (4, 19)
    assert third.position_of(third.text.index("x") + 1) == (6, 2)
    assert third.position_of(0) == (5, 1)


def test_offsets_point_into_the_text() -> None:
    text = "-- x\nSELECT 1; /* y */ SELECT\n2"
    for statement in read_statements(text, "f.sql"):
        assert text.startswith(statement.text, statement.offset)


def test_comments() -> None:
    text = (
        "-- a\nSELECT '-- b' -- c\n, $$-- d$$ /* -- e */;\nCOPY t FROM STDIN;\n-- f\n\\.\n-- g"
    )
    reader = Reader(iter((text,)), "f.sql")
    comments = [list(reader.line_comments()) for _ in reader.statements()]
    comments.append(list(reader.line_comments()))
    assert [[c.text for c in found] for found in comments] == [["-- a", "-- c"], [], ["-- g"]]
    (statement,) = read_statements("REINDEX /* x */ (--\nVERBOSE) TABLE t", "f.sql")
    assert without_comments(statement).split() == ["REINDEX", "(", "VERBOSE)", "TABLE", "t"]


@pytest.mark.parametrize(
    "piece",
    [
        "(",
        "/*",
        "E'\\''||",
        "a$1",
        "$a",
        "-- x\n",
        "/**/",
        "'' ",
        "1$1",
        "a.",
        "('a',",
        "(-1,(2),",
        "(E'a',",
        "SET x",
    ],
)
def test_stays_linear(piece: str) -> None:
    started = process_time()
    with suppress(SourceError):
        read_statements("SELECT " + piece * 100_000, "f.sql")
    # It takes a tenth of a second; a quadratic reader would need minutes.
    assert process_time() - started < 10


@pytest.mark.parametrize("name", ["authelia", "langfuse", "pagila"])
def test_reads_real_histories(name: str) -> None:
    files = history(name).files()
    assert files
    for path in files:
        text = decode(path.read_bytes(), path.name)
        for statement in read_statements(text, path.name):
            assert text.startswith(statement.text, statement.offset)
