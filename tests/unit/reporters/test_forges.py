"""Paths, headers and states of each forge match its documentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.reporters import DeliveryFailed, Report
from pipeline.reporters.commit_status import CommitStatus
from pipeline.reporters.gitea import Gitea
from pipeline.reporters.github import GitHub
from pipeline.reporters.gitlab import GitLab
from pipeline.store.records import RunKind, RunState
from tests.unit.reporters.configuration import SHA, TOKEN, reveal
from tests.unit.reporters.recorder import Recorder

Reports = Callable[..., Report]


def made(model: type[CommitStatus], forge: Recorder, **options: Any) -> CommitStatus:
    return model.model_validate(
        {"type": "x", "api": f"{forge.url}/api/", "repository": "ada/shop", "token": "${secret:TOKEN}", **options}
    )


def test_github(forge: Recorder, report: Reports) -> None:
    """GitHub gets a status of the commit under the pipeline's name."""
    made(GitHub, forge, target_url="https://ci.example.com/runs/{run}").report(report(RunState.SUCCEEDED), reveal)
    (received,) = forge.requests
    assert received.path == f"/api/repos/ada/shop/statuses/{SHA}"
    assert received.headers["Authorization"] == f"Bearer {TOKEN}"
    assert received.headers["Accept"] == "application/vnd.github+json"
    assert received.headers["X-GitHub-Api-Version"] == "2022-11-28"
    assert received.headers["Content-Type"] == "application/json"
    assert received.data == {
        "state": "success",
        "context": "penstock/shop",
        "description": "run 1: succeeded",
        "target_url": "https://ci.example.com/runs/1",
    }


def test_gitea(forge: Recorder, report: Reports) -> None:
    """Gitea gets the same path, its own authorization scheme, and the configured context."""
    made(Gitea, forge, context="deploy").report(report(RunState.RUNNING), reveal)
    (received,) = forge.requests
    assert received.path == f"/api/repos/ada/shop/statuses/{SHA}"
    assert received.headers["Authorization"] == f"token {TOKEN}"
    assert received.data == {"state": "pending", "context": "deploy", "description": "run 1: running"}


def test_gitlab(forge: Recorder, report: Reports) -> None:
    """GitLab gets the project by its encoded path, which may have groups."""
    made(GitLab, forge, repository="team/web/shop").report(report(RunState.RUNNING), reveal)
    (received,) = forge.requests
    assert received.path == f"/api/projects/team%2Fweb%2Fshop/statuses/{SHA}"
    assert received.headers["PRIVATE-TOKEN"] == TOKEN
    assert received.data == {"state": "running", "name": "penstock/shop", "description": "run 1: running"}


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (GitHub, "pending pending success failure failure error error error success error"),
        (Gitea, "pending pending success failure failure error error error success error"),
        (GitLab, "pending running success failed failed failed canceled canceled success canceled"),
    ],
)
def test_every_state_has_a_word_that_the_forge_knows(
    model: type[CommitStatus], words: str, forge: Recorder, report: Reports
) -> None:
    """Every run state maps to a state of the forge, so that no commit stays pending."""
    for state in RunState:
        made(model, forge).report(report(state), reveal)
    assert [received.data["state"] for received in forge.requests] == words.split()


def test_the_description_is_cut_to_the_limit(forge: Recorder, report: Reports) -> None:
    """The description is the first line of the reason, cut to 140 characters."""
    made(GitHub, forge).report(report(RunState.FAILED, reason="the tests failed\nmany lines"), reveal)
    made(GitHub, forge).report(report(RunState.FAILED, reason="x" * 500), reveal)
    first, second = (received.data["description"] for received in forge.requests)
    assert first == "run 1: failed: the tests failed"
    assert len(second) == 140
    assert second.endswith("x…")


@pytest.mark.parametrize("kind", [RunKind.ROLLBACK, RunKind.DOWN])
def test_a_rollback_keeps_the_status(kind: RunKind, forge: Recorder, report: Reports) -> None:
    """A failed rollback does not change the status of the commit."""
    made(GitHub, forge).report(report(RunState.FAILED, kind), reveal)
    assert forge.requests == []


def test_gitlab_has_the_status_already(forge: Recorder, report: Reports) -> None:
    """A status that GitLab already has is not a failure, and any other error is."""
    forge.responses = [
        (400, {}, b'{"message": "Cannot transition status via :run from :running"}'),
        (404, {}, b'{"message": "404 Project Not Found"}'),
    ]
    made(GitLab, forge).report(report(RunState.RUNNING), reveal)
    with pytest.raises(DeliveryFailed, match="returned 404 Not Found: 404 Project Not Found"):
        made(GitLab, forge).report(report(RunState.RUNNING), reveal)


def test_the_public_forges_need_no_api() -> None:
    """The default URLs are those of the public forges."""
    options = {"type": "x", "repository": "ada/shop", "token": "${secret:TOKEN}"}
    assert GitHub.model_validate(options).api == "https://api.github.com"
    assert Gitea.model_validate(options).api == "https://gitea.com/api/v1"
    assert GitLab.model_validate(options).api == "https://gitlab.com/api/v4"
