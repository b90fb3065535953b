"""Pipelines that stacks make: real containers, rolled by stack updates and by commits, and removed with the stack."""

from __future__ import annotations

import signal

import pytest

from tests.docker.get import get
from tests.docker.pipeline_stack import PipelineStack
from tests.docker.project import Project, Projects, until
from tests.docker.serving import serving
from tests.support.waiting import COMMAND_TIMEOUT

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]


def version(project: Project) -> str:
    """Return the version that the service shows."""
    return get(project).partition(" on ")[0]


def test_a_pipeline_is_created_rolled_rolled_back_and_deleted(project: Project) -> None:
    """Updates lose no request. One that fails leaves the release of before. Deletion leaves nothing."""
    stack = PipelineStack(project)
    project.pipeline(*stack.arguments("create"))
    project.assert_serving(1)
    assert version(project) == "sample-app 1"
    assert str(stack.file) in project.pipeline("stack", "outputs", "stack").out
    assert "release 1" in project.pipeline("status", "-f", str(stack.file)).out
    project.commit("2")
    with project.load() as load:
        project.pipeline(*stack.arguments("update", Replicas="3"))
        assert version(project) == "sample-app 2"
        failed = project.pipeline(*stack.arguments("update", Replicas="3", Path="/none"), code=4)
        assert load.stop().failed == 0
    assert "was not healthy" in failed.out + failed.err
    assert version(project) == "sample-app 2"
    project.pipeline("stack", "delete", "stack")
    stack.assert_gone()


def test_the_daemon_deploys_commits_and_goes_on_after_a_kill(projects: Projects) -> None:
    """The daemon serves the pipeline as those of files. An update whose process is killed is completed by it."""
    blog, project = projects("blog"), projects("shop")
    stack = PipelineStack(project)
    project.pipeline(*stack.arguments("create"))
    before = {container.name for container in project.containers()}
    project.commit("2")
    update = project.start(*stack.arguments("update", Replicas="3"))
    until(lambda: {c.name for c in project.containers()} - before, "a new container")
    update.send_signal(signal.SIGKILL)
    update.communicate(timeout=COMMAND_TIMEOUT)
    with serving(blog):
        until(lambda: len(project.targets()) == 3 and version(project) == "sample-app 2", "the end of the update")
        until(lambda: "UPDATE_COMPLETE" in project.pipeline("stack", "list").out, "the state of the stack")
        project.commit("3")
        until(lambda: version(project) == "sample-app 3", "the new commit")
        project.pipeline("stack", "delete", "stack")
    stack.assert_gone()
