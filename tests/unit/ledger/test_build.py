"""Which build is this: the variables of each CI system, and of a desk."""

from __future__ import annotations

import pytest

from alembic_pgpipe.errors import SettingsError
from alembic_pgpipe.ledger.build import (
    LOCAL,
    current_build,
    person,
    row_numbers,
    said_to_succeed,
)
from alembic_pgpipe.model import Build

ARN = "arn:aws:codebuild:eu-west-1:123456789012:build/shop:0b1c"
CODEBUILD = {
    "CODEBUILD_BUILD_NUMBER": "12",
    "CODEBUILD_BUILD_ARN": ARN,
    "CODEBUILD_BUILD_ID": "shop:0b1c",
    "CODEBUILD_RESOLVED_SOURCE_VERSION": "abc123",
    "CODEBUILD_INITIATOR": "deployer",
}
JENKINS = {
    "BUILD_NUMBER": "12",
    "BUILD_URL": "https://ci.example/job/shop/12/",
    "BUILD_TAG": "jenkins-shop-12",
    "JOB_NAME": "shop",
    "GIT_COMMIT": "abc123",
    "BUILD_USER_ID": "ann",
}
GITLAB = {
    "CI_PIPELINE_IID": "12",
    "CI_PIPELINE_ID": "90012",
    "CI_PROJECT_PATH": "team/shop",
    "CI_COMMIT_SHA": "abc123",
    "GITLAB_USER_LOGIN": "ann",
}
GITHUB = {
    "GITHUB_RUN_NUMBER": "12",
    "GITHUB_RUN_ID": "90012",
    "GITHUB_REPOSITORY": "team/shop",
    "GITHUB_SHA": "abc123",
    "GITHUB_ACTOR": "ann",
}
AZURE = {
    "BUILD_BUILDNUMBER": "20260301.12",
    "BUILD_BUILDID": "90012",
    "BUILD_DEFINITIONNAME": "shop",
    "BUILD_SOURCEVERSION": "abc123",
    "BUILD_REQUESTEDFOR": "Ann",
}
BITBUCKET = {
    "BITBUCKET_BUILD_NUMBER": "12",
    "BITBUCKET_PIPELINE_UUID": "{90012}",
    "BITBUCKET_REPO_FULL_NAME": "team/shop",
    "BITBUCKET_COMMIT": "abc123",
    "BITBUCKET_STEP_TRIGGERER_UUID": "{ann}",
}
CIRCLECI = {
    "CIRCLE_BUILD_NUM": "12",
    "CIRCLE_WORKFLOW_JOB_ID": "90012",
    "CIRCLE_PROJECT_REPONAME": "shop",
    "CIRCLE_SHA1": "abc123",
    "CIRCLE_USERNAME": "ann",
}
BUILDKITE = {
    "BUILDKITE_BUILD_NUMBER": "12",
    "BUILDKITE_BUILD_ID": "90012",
    "BUILDKITE_PIPELINE_SLUG": "shop",
    "BUILDKITE_COMMIT": "abc123",
    "BUILDKITE_BUILD_CREATOR": "Ann",
}
EXPECTED = {
    "CodeBuild": (CODEBUILD, Build("12", ARN, "shop", "abc123", "deployer")),
    "Jenkins": (JENKINS, Build("12", JENKINS["BUILD_URL"], "shop", "abc123", "ann")),
    "GitLab": (GITLAB, Build("12", "team/shop:90012", "team/shop", "abc123", "ann")),
    "GitHub": (GITHUB, Build("12", "team/shop:90012", "team/shop", "abc123", "ann")),
    "Azure": (AZURE, Build("20260301.12", "shop:90012", "shop", "abc123", "Ann")),
    "Bitbucket": (BITBUCKET, Build("12", "team/shop:{90012}", "team/shop", "abc123", "{ann}")),
    "CircleCI": (CIRCLECI, Build("12", "shop:90012", "shop", "abc123", "ann")),
    "Buildkite": (BUILDKITE, Build("12", "shop:90012", "shop", "abc123", "Ann")),
}


@pytest.mark.parametrize("system", EXPECTED)
def test_the_build_of_a_ci_system_is_known(system: str) -> None:
    environ, build = EXPECTED[system]
    assert current_build(environ) == build


def test_jenkins_without_its_url_is_known_by_its_tag() -> None:
    environ = {**JENKINS, "BUILD_URL": ""}
    assert current_build(environ).id == "jenkins-shop-12"


def test_two_projects_with_one_number_have_different_ids() -> None:
    other = {**GITHUB, "GITHUB_REPOSITORY": "team/other"}
    assert current_build(GITHUB).id != current_build(other).id


def test_a_rerun_is_the_same_build() -> None:
    assert current_build({**GITHUB, "GITHUB_RUN_ATTEMPT": "2"}) == current_build(GITHUB)


@pytest.mark.parametrize("environ", [{}, {"CODEBUILD_BUILD_NUMBER": ""}])
def test_outside_ci_it_is_a_local_run(environ: dict[str, str]) -> None:
    build = current_build(environ)
    assert (build.number, build.id, build.commit) == (LOCAL, LOCAL, None)
    assert build.who == person({})
    assert "@" in build.who


def test_a_named_variable_beats_the_ci_systems_number_and_keeps_the_rest() -> None:
    build = current_build({**GITHUB, "RELEASE": "2026.3"}, "RELEASE")
    assert build == Build("2026.3", "team/shop:90012", "team/shop", "abc123", "ann")


def test_a_named_variable_outside_ci_is_number_and_id() -> None:
    build = current_build({"RELEASE": "2026.3"}, "RELEASE")
    assert (build.number, build.id) == ("2026.3", "2026.3")


@pytest.mark.parametrize("environ", [{}, {"RELEASE": ""}, GITHUB])
def test_a_named_variable_that_is_not_set_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"pgpipe\.build_number_env names RELEASE"):
        current_build(environ, "RELEASE")


def test_who_is_the_one_who_started_the_build() -> None:
    assert person(GITHUB) == "ann"
    assert person({**GITHUB, "GITHUB_ACTOR": ""}) == person({})


@pytest.mark.parametrize(
    ("environ", "succeeds"),
    [
        ({}, None),
        ({"CODEBUILD_BUILD_SUCCEEDING": "1"}, True),
        ({"CODEBUILD_BUILD_SUCCEEDING": "0"}, False),
        ({"CI_JOB_STATUS": "success"}, True),
        ({"CI_JOB_STATUS": "failed"}, False),
        ({"CI_JOB_STATUS": "canceled"}, False),
        ({"CI_JOB_STATUS": "running"}, None),
        ({"AGENT_JOBSTATUS": "SucceededWithIssues"}, True),
        ({"AGENT_JOBSTATUS": "Canceled"}, False),
    ],
)
def test_ci_systems_say_how_the_build_stands(
    environ: dict[str, str], succeeds: bool | None
) -> None:
    assert said_to_succeed(environ) is succeeds


def test_a_build_has_a_number_of_its_own_where_others_have_taken_it() -> None:
    assert row_numbers(Build("7", "shop:1", project="shop")) == ("7", "7@shop", "7@shop:1")
    assert row_numbers(Build("7", "x")) == ("7", "7@x")
