"""Projects whose deployments shift traffic."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.balancer.alternate import shares
from pipeline.balancer.planes import open_balancer
from pipeline.testing.load.report import LoadReport
from tests.docker.project import Project


def with_strategy(project: Project, strategy: str) -> None:
    """Let the next runs deploy by a strategy."""
    project.configure(("deploy_timeout: 20s", f"deploy_timeout: 20s\n  strategy: {strategy}"))


def share(project: Project) -> float | None:
    """Return the share of the alternate group, None if there is none."""
    declared = open_balancer(project.home.balancer).declaration(project.name)
    assert declared is not None
    return shares(declared).get("web")


def assert_at_home(project: Project, release: int) -> None:
    """Assert that only one release runs, in one target group."""
    project.assert_serving(release)
    declared = open_balancer(project.home.balancer).declaration(project.name)
    assert declared is not None
    assert set(declared.target_groups) == {"web"}
    with project.store() as store:
        assert store.deployments.open(project.name) is None


def assert_lossless(report: LoadReport) -> None:
    """Assert that each request has had a response."""
    assert report.sent > 0
    assert report.failed == 0, report.failures


def events(project: Project, kind: str) -> list[Mapping[str, object]]:
    """Return the fields of the events of a kind."""
    with project.store() as store:
        return [event.fields for event in store.events.latest(project.name, limit=5000) if event.kind == kind]
