"""Files to measure with: written piece by piece, of any size, the same every time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

TABLE = "CREATE TABLE public.t (id bigint, name text, note text, at timestamptz);\n"
ROUTINE = """\
CREATE OR REPLACE FUNCTION app.settle_{0}(account bigint, OUT settled integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, pg_temp AS $body$
DECLARE
    entry app.entries%ROWTYPE;
    total numeric(12, 2) := 0;
BEGIN
    -- Oldest first, so that interest stops as early as it can.
    FOR entry IN
        SELECT * FROM app.entries
        WHERE entries.account = settle_{0}.account AND NOT entries.settled
        ORDER BY entries.due_at, entries.id
        FOR UPDATE
    LOOP
        EXIT WHEN total + entry.amount > (SELECT balance FROM app.accounts WHERE id = account);
        UPDATE app.entries SET settled = true, settled_at = now() WHERE id = entry.id;
        total := total + entry.amount;
    END LOOP;
    GET DIAGNOSTICS settled = ROW_COUNT;
    IF settled = 0 THEN
        RAISE NOTICE 'account %: nothing to settle; it''s fine', account;
    END IF;
END;
$body$;
COMMENT ON FUNCTION app.settle_{0}(bigint) IS 'Settle what account {0} can pay.';
GRANT EXECUTE ON FUNCTION app.settle_{0}(bigint) TO PUBLIC;
"""


def inserts(number: int) -> str:
    """Return one single-row INSERT."""
    return (
        f"INSERT INTO public.t (id, name, note, at) VALUES ({number}, 'name {number}', "
        f"'it''s a note about row {number}; it ends here', "
        f"'2026-01-{1 + number % 28:02} 12:00:00+00');\n"
    )


def routines(number: int) -> str:
    """Return one function with its comment and its grant."""
    return ROUTINE.format(number)


def rows(number: int) -> str:
    """Return one row of COPY data."""
    return f"{number}\tname {number}\tit's a note about row {number}\t2026-01-01 12:00:00+00\n"


def repeated(one: Callable[[int], str], size: int) -> Iterator[str]:
    """Yield texts that are ``size`` characters long together, or a little more."""
    done, number = 0, 0
    while done < size:
        text = "".join(map(one, range(number, number + 1_000)))
        number += 1_000
        done += len(text)
        yield text


def write_inserts(path: Path, size: int) -> None:
    """Write a table and single-row INSERTs into it."""
    with path.open("w") as file:
        file.write(TABLE)
        file.writelines(repeated(inserts, size))


def write_copy(path: Path, size: int) -> None:
    """Write a table and one COPY into it."""
    with path.open("w") as file:
        file.write(f"{TABLE}COPY public.t FROM STDIN;\n")
        file.writelines(repeated(rows, size))
        file.write("\\.\n")
