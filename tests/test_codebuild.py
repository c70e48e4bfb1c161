"""The runner of buildspecs keeps CodeBuild's rules."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.codebuild import BuildResult, codebuild_variables, run_build

SUCCEEDING = "echo succeeding=$CODEBUILD_BUILD_SUCCEEDING"


def ran(folder: Path, **phases: dict[str, list[str]]) -> BuildResult:
    """Run phases in an empty checkout."""
    checkout = folder / "checkout"
    checkout.mkdir()
    spec = {
        "version": 0.2,
        "env": {"shell": "bash", "variables": {"GREETING": "hello"}},
        "phases": phases,
        "reports": {"all": {"files": ["*.xml"], "base-directory": "out"}},
        "artifacts": {"files": ["out/*"]},
    }
    (folder / "buildspec.yaml").write_text(yaml.safe_dump(spec))
    return run_build(folder / "buildspec.yaml", checkout, codebuild_variables(1))


def codes(result: BuildResult) -> list[tuple[str, int]]:
    return [(one.phase, one.code) for one in result.commands]


def test_all_commands_share_one_shell(tmp_path: Path) -> None:
    result = ran(
        tmp_path,
        install={"commands": ["X=1; cd /", "export Y=2"]},
        build={
            "commands": ['echo "$PWD $X $(printenv Y) $GREETING"', "read line; test -z $line"]
        },
        post_build={"commands": [SUCCEEDING]},
    )
    assert result.succeeded, result.output
    assert result.output == "/ 1 2 hello\nsucceeding=1\n"


def test_a_failed_pre_build_runs_its_finally_and_nothing_else(tmp_path: Path) -> None:
    result = ran(
        tmp_path,
        pre_build={"commands": ["true", "(exit 3)", "true"], "finally": [SUCCEEDING]},
        build={"commands": ["true"]},
        post_build={"commands": ["true"]},
    )
    assert codes(result) == [("pre_build", 0), ("pre_build", 3), ("pre_build", 0)]
    assert not result.succeeded


def test_a_failed_build_runs_post_build_which_knows(tmp_path: Path) -> None:
    result = ran(
        tmp_path, build={"commands": ["false", "true"]}, post_build={"commands": [SUCCEEDING]}
    )
    assert codes(result) == [("build", 1), ("post_build", 0)]
    assert result.output == "succeeding=0\n"
    assert not result.succeeded


def test_a_shell_that_has_ended_is_a_failure(tmp_path: Path) -> None:
    result = ran(
        tmp_path, build={"commands": ["exit 4", "true"]}, post_build={"commands": ["true"]}
    )
    assert result.failed[0].code == 4
    assert not result.succeeded


def test_what_is_no_shell_is_a_failure_of_its_own_command_alone(tmp_path: Path) -> None:
    result = ran(
        tmp_path, build={"commands": ["if then 'x"]}, post_build={"commands": ["true"]}
    )
    assert [one.code != 0 for one in result.commands] == [True, False]


def test_reports_and_artifacts_are_what_matches(tmp_path: Path) -> None:
    result = ran(tmp_path, build={"commands": ["mkdir out", "touch out/a.xml out/b.log"]})
    assert [path.name for path in result.reports] == ["a.xml"]
    assert [path.name for path in result.artifacts] == ["a.xml", "b.log"]
