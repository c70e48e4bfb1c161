"""What is said of a configuration that cannot be read, or that knows no project."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.config import Config

from alembic_pgpipe.configuration import read_options, refuse_homeless
from alembic_pgpipe.errors import SettingsError

SECRET = "Xq7zu"


def refusal(config: Config) -> str:
    with pytest.raises(SettingsError) as caught:
        refuse_homeless(config)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def ini(folder: Path, text: str | bytes, section: str = "alembic") -> Config:
    file = folder / "alembic.ini"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Config(str(file), ini_section=section)


def toml(folder: Path, text: str) -> Config:
    file = folder / "pyproject.toml"
    file.write_text(text)
    return Config(str(folder / "alembic.ini"), toml_file=str(file))


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (f"[alembic]\n\nsqlalchemy.url {SECRET}\n", 3, "NAME = VALUE"),
        (f"url = {SECRET}\n[alembic]\n", 1, "above the first section"),
        (f"[alembic]\na = 1\na = {SECRET}\n", 3, "a is given a second time in [alembic]"),
        ("[alembic]\na = 1\n[alembic]\n", 3, "section [alembic] begins a second time"),
    ],
    ids=["no option", "no section", "an option twice", "a section twice"],
)
def test_the_line_that_cannot_be_read_is_named(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    message = refusal(ini(tmp_path, text))
    assert message.startswith(f"{tmp_path}/alembic.ini:{line}: ")
    assert said in message and message.endswith("then type the same command again.")


def test_a_file_that_is_no_utf_8_is_named(tmp_path: Path) -> None:
    message = refusal(ini(tmp_path, b"[alembic]\nname = M\xfcller\n"))
    assert "alembic.ini is not text in utf-8" in message


def test_a_folder_in_place_of_pyproject_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").mkdir()
    config = Config(str(tmp_path / "alembic.ini"), toml_file=str(tmp_path / "pyproject.toml"))
    assert "pyproject.toml cannot be read: Is a directory." in refusal(config)


def test_what_is_no_toml_is_named_with_its_line(tmp_path: Path) -> None:
    message = refusal(toml(tmp_path, '[tool.alembic]\nscript_location = "x\n'))
    assert f"{tmp_path}/pyproject.toml:2: this is not TOML: " in message
    assert "(at line" not in message


def test_toml_that_ends_too_soon_is_named_without_a_line(tmp_path: Path) -> None:
    assert "pyproject.toml: this is not TOML: " in refusal(toml(tmp_path, 'x = """'))


def test_the_project_in_a_folder_above_is_shown(tmp_path: Path) -> None:
    ini(tmp_path, "[alembic]\nscript_location = x\n")
    below = tmp_path / "alembic" / "sql"
    below.mkdir(parents=True)
    message = refusal(Config(str(below / "alembic.ini")))
    assert f"There is no alembic.ini in {below}" in message
    assert message.endswith(f"cd {tmp_path}")


def test_where_there_is_no_project_the_command_that_starts_one_is_shown(tmp_path: Path) -> None:
    message = refusal(Config(str(tmp_path / "nope.ini")))
    assert f"There is no nope.ini in {tmp_path}" in message
    assert "-c" in message and message.endswith("alembic pgpipe init")


def test_the_sections_that_know_a_project_are_shown(tmp_path: Path) -> None:
    text = "[dev]\nscript_location = x\n[loggers]\n[prod]\nscript_location = y\n"
    message = refusal(ini(tmp_path, text, section="QA"))
    assert "has no section [QA]. It knows [dev], [prod]." in message
    assert "alembic -n dev …" in message
    assert "alembic -n prod …" in refusal(ini(tmp_path, text, section="Prod"))


def test_a_file_without_any_project_is_to_be_extended(tmp_path: Path) -> None:
    message = refusal(ini(tmp_path, "[loggers]\nkeys = root\n"))
    assert "has no section [alembic]" in message and "alembic pgpipe init" in message


def test_the_option_that_is_missing_is_shown_as_it_is_written(tmp_path: Path) -> None:
    message = refusal(ini(tmp_path, "[alembic]\npgpipe.schema = x\n"))
    assert "[alembic] does not say where" in message
    assert "script_location = %(here)s/alembic," in message
    apart = tmp_path / "apart"
    apart.mkdir()
    message = refusal(toml(apart, '[tool.alembic]\n"pgpipe.schema" = "x"\n'))
    assert 'script_location = "%(here)s/alembic",' in message


def test_a_lone_percent_sign_in_the_location_is_named(tmp_path: Path) -> None:
    message = refusal(ini(tmp_path, f"[alembic]\nscript_location = {SECRET}%/x\n"))
    assert "option 'script_location' in [alembic]" in message and "%%" in message


def test_options_set_in_a_program_need_no_file() -> None:
    config = Config()
    config.set_main_option("script_location", "somewhere")
    refuse_homeless(config)
    assert read_options(config)["script_location"] == "somewhere"
