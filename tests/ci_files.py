"""The examples for other CI systems, read as each system would read them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[1]
FOLDER = REPOSITORY / "docs/ci"
GITHUB, GITLAB, JENKINS = (
    FOLDER / name for name in ("github-actions.yml", "gitlab-ci.yml", "Jenkinsfile")
)


@dataclass(frozen=True)
class Job:
    """What one job runs: to install, to ship, and in the end whatever became of it."""

    install: list[str]
    ship: list[str]
    close: str


@dataclass(frozen=True)
class CiFile:
    """One example; ``finished`` gives what ``close`` is in a green or a red build."""

    path: Path
    jobs: list[Job]
    variables: Mapping[str, str]
    again: Mapping[str, str]
    finished: Callable[[str, bool], tuple[str, Mapping[str, str]]]


def github() -> CiFile:
    """Return the workflow of GitHub Actions."""
    number = {"GITHUB_RUN_NUMBER": "7", "GITHUB_RUN_ID": "9001", "GITHUB_ACTOR": "anna"}
    return CiFile(
        path=GITHUB,
        jobs=[_github_job(body) for body in _read(GITHUB)["jobs"].values()],
        variables={**number, "CI": "true", "GITHUB_REPOSITORY": "example/shop"},
        again={"GITHUB_RUN_ATTEMPT": "2"},
        finished=lambda close, green: (_chosen(close, r"\$\{\{.*?\}\}", green=green), {}),
    )


def gitlab() -> CiFile:
    """Return the pipeline of GitLab CI."""
    ship = _read(GITLAB)[".ship"]
    job = Job(ship["before_script"], ship["script"], ship["after_script"][0])
    number = {"CI_PIPELINE_IID": "7", "CI_PIPELINE_ID": "9001", "GITLAB_USER_LOGIN": "anna"}
    return CiFile(
        path=GITLAB,
        jobs=[job],
        variables={**number, "CI": "true", "CI_PROJECT_PATH": "example/shop"},
        again={"CI_JOB_ID": "5"},
        finished=lambda close, green: (
            close,
            {"CI_JOB_STATUS": "success" if green else "failed"},
        ),
    )


def jenkins() -> CiFile:
    """Return the Jenkinsfile; only its ``sh`` steps are understood."""
    text = JENKINS.read_text("utf-8")
    steps = [step for _, step in re.findall(r"^ +sh (['\"])(.*)\1$", text, re.MULTILINE)]
    first = steps.index("alembic pgpipe wait --timeout 60")
    url = "https://ci.example.com/job/shop/"
    return CiFile(
        path=JENKINS,
        jobs=[Job(steps[:first], steps[first:-1], steps[-1])],
        variables={
            "CI": "true",
            "BUILD_NUMBER": "7",
            "BUILD_URL": f"{url}7/",
            "JOB_NAME": "shop",
        },
        again={"BUILD_NUMBER": "8", "BUILD_URL": f"{url}8/"},
        finished=lambda close, green: (_chosen(close, r"\$\{.*?\}", green=green), {}),
    )


def cloud_build(
    substitutions: Mapping[str, str],
) -> tuple[str, list[tuple[str, Mapping[str, str]]]]:
    """Return the option that the page names for Google Cloud Build, and its steps.

    Each is its commands and its environment: nothing is in there but what ``env`` names.
    """
    page = (FOLDER / "README.md").read_text("utf-8")
    [written] = re.findall(r"^```yaml\n(# cloudbuild\.yaml\n.*?)^```", page, re.M | re.S)
    [option] = re.findall(r"^# alembic\.ini: pgpipe\.build_number_env = (\w+)$", written, re.M)
    steps = yaml.safe_load(written)["steps"]
    return option, [(step["script"], _mapped(step["env"], substitutions)) for step in steps]


def _mapped(env: list[str], substitutions: Mapping[str, str]) -> Mapping[str, str]:
    return dict(Template(one).substitute(substitutions).split("=", 1) for one in env)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return found


def _github_job(body: Mapping[str, Any]) -> Job:
    steps = [step for step in body["steps"] if "run" in step]
    always = [step["run"] for step in steps if step.get("if") == "always()"]
    assert len(always) == 1
    plain = [step["run"] for step in steps if "if" not in step]
    return Job(plain[:1], plain[1:], always[0])


def _chosen(command: str, expression: str, *, green: bool) -> str:
    """Put what an expression ``… == 'success' … 'A' … 'B'`` comes to in its place."""
    found = re.search(expression, command)
    assert found is not None
    _, when_green, when_red = re.findall(r"'(\w+)'", found[0])
    return command.replace(found[0], when_green if green else when_red)
