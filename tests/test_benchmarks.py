"""The benchmarks work; what they measure is no test."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from alembic_pgpipe.revisions.header import read_header
from alembic_pgpipe.scratch.binaries import find_binaries
from benchmarks import (
    apply,
    contenders,
    history,
    idle,
    large,
    latency,
    projects,
    reader,
    routines,
    startup,
    wrapping,
)

ABSENT = contenders.Contender("nobody", None, lambda work: None, lambda work: ("false",))


def test_the_reader_is_measured() -> None:
    rows = reader.measure(megabytes=0.2, rounds=2)
    assert [row[0] for row in rows] == ["INSERTs", "routines"]
    assert all(float(number) > 0 for row in rows for number in row[2:])


def test_histories_are_measured_beside_plain_alembic() -> None:
    if not (find_binaries(os.environ).folder / "psql").exists():
        pytest.skip("this server comes without psql")
    # The others are run in the same way.
    commands = (history.NOTHING, history.PENDING)
    with history.bench() as bench:
        bench.measure([bench.case("line", 10), bench.case("braid", 10)], 1, commands)
        rows = bench.rows()
        drawing, floor = bench.drawing(history.NOTHING), bench.floor()
    assert [row[:2] for row in rows] == [
        *(("line", command) for command in commands),
        *(("braid", command) for command in commands),
    ]
    assert all(float(number) > 0 for row in rows for number in (row[3], row[5]))
    assert all((row[6] != "–") == (row[0] == "braid") for row in rows)
    assert "of plain Alembic" in floor
    assert "xychart-beta" in drawing


def test_the_histories_to_measure_with_are_what_the_template_writes(tmp_path: Path) -> None:
    projects.write_project(tmp_path, projects.braid(20))
    files = list((tmp_path / "alembic/versions").glob("*.py"))
    assert len(files) == 20
    assert all(read_header(file.read_bytes()) for file in files)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="memory is read from /proc")
def test_a_large_file_is_measured_beside_psql() -> None:
    if not (find_binaries(os.environ).folder / "psql").exists():
        pytest.skip("this server comes without psql")
    with large.bench() as bench:
        rows = bench.measure("COPY", size=300_000, rounds=1)
    assert [row[1] for row in rows] == ["psql", "alembic upgrade head", "idle"]
    assert all(float(number) > 0 for row in rows for number in (row[2], row[4]))
    # Of psql there may be no sample: at this size it is gone at once.
    assert all(float(number) > 0 for row in rows[1:] for number in row[6:])


def test_changed_routines_are_measured() -> None:
    rows = routines.measure(count=len(routines.GROWN), rounds=1)
    assert [row[1] for row in rows] == list(routines.WORK)
    assert all(float(row[2]) > 0 for row in rows)


def test_what_a_client_said_last_is_counted_as_its_own(tmp_path: Path) -> None:
    place = tmp_path / "server"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()
        threading.Thread(target=_answer, args=(server, 50), daemon=True).start()
        with latency.far_away(place, milliseconds=0) as far:
            for client in range(1, 51):
                _ask_and_leave(far.port)
                assert far.messages() == 3 * client, "a question, a farewell, an end"


def _answer(server: socket.socket, clients: int) -> None:
    for _ in range(clients):
        connection, _ = server.accept()
        with connection:
            connection.sendall(connection.recv(100))
            while connection.recv(100):
                pass


def _ask_and_leave(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"SELECT 1")
        assert client.recv(100)
        client.sendall(b"bye")


@pytest.mark.parametrize("latency_ms", [0, 1])
def test_many_small_sources_are_applied_by_each_contender(latency_ms: float) -> None:
    if not (find_binaries(os.environ).folder / "psql").exists():
        pytest.skip("this server comes without psql")
    everybody = (*contenders.contenders(), ABSENT)
    with apply.bench(latency_ms) as bench:
        rows = bench.measure(sources=3, rounds=1, everybody=everybody)
    assert [row[1] for row in rows] == [one.name for one in everybody]
    there = [row for row in rows if row[2] != "not installed"]
    assert len(there) == len(contenders.installed(everybody)) >= 3
    assert all(float(number) > 0 for row in there for number in (row[2], *row[4:7]))
    assert rows[-1][1:3] == ("nobody", "not installed")
    if latency_ms:
        # BEGIN, three statements, COMMIT.
        assert rows[1][8] == "5.0"


def test_whoever_leaves_a_source_out_is_not_measured() -> None:
    if not (find_binaries(os.environ).folder / "psql").exists():
        pytest.skip("this server comes without psql")
    lazy = replace(ABSENT, version="1", command=lambda work: ("true",))
    with (
        apply.bench(durable=False) as bench,
        pytest.raises(SystemExit, match="nobody made 0 of 2 tables"),
    ):
        bench.measure(sources=2, rounds=1, everybody=[lazy])


def test_everybody_is_measured_with_nothing_to_do() -> None:
    if not (find_binaries(os.environ).folder / "psql").exists():
        pytest.skip("this server comes without psql")
    everybody = (*idle.remembering(), ABSENT)
    with apply.bench() as bench:
        times = idle.measure(bench, [2], 1, contenders.installed(everybody))
    rows = idle.rows(times, everybody)
    assert [row[:2] for row in rows] == [(one.name, "2") for one in everybody]
    assert rows[-1][2] == "not installed"
    assert all(float(row[2]) > 0 for row in rows[:2])
    assert "xychart-beta" in idle.drawing(times)


def test_new_sources_are_wrapped_and_checked() -> None:
    rows = wrapping.measure([2], rounds=1)
    assert [row[:2] for row in rows] == [(command, "2") for command in wrapping.COMMANDS]
    assert all(float(number) > 0 for row in rows for number in (row[2], row[4]))


def test_commands_without_a_database_are_measured_beside_the_bare_import() -> None:
    rows = startup.measure(rounds=1, sources=2)
    assert [row[0] for row in rows] == list(startup.COMMANDS)
    assert all(float(number) > 0 for row in rows for number in (row[1], row[4]))


@pytest.mark.parametrize(
    "arguments", [("--sources", "0"), ("--rounds", "-1"), ("--rounds", "x")]
)
def test_nothing_is_not_measured(
    arguments: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["apply", *arguments])
    with pytest.raises(SystemExit) as refused:
        apply.main()
    assert refused.value.code == 2
    assert f"argument {arguments[0]}" in capsys.readouterr().err


def test_a_size_of_nothing_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["large", "--megabytes", "0"])
    with pytest.raises(SystemExit):
        large.main()
    assert "0 leaves nothing to measure" in capsys.readouterr().err
