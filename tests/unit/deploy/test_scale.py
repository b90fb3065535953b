"""Scaling and restarting the active release."""

from __future__ import annotations

import pytest

from pipeline.api import StageContext
from pipeline.base.errors import ConfigError, RolledBack, StageFailed
from pipeline.store.records import DeploymentState, is_scale
from stages.deploy.stage import DockerDeploy
from tests.unit.deploy.deployments import Service, deploy, last, with_replicas


def test_a_scaled_number_lasts_until_the_file_changes_it(context: StageContext, service: Service) -> None:
    """Later deployments and rollbacks keep it, and a changed deploy.replicas ends it for good."""
    deploy(context, "a")
    DockerDeploy().scale(context, "web", 5)
    assert service.counts[-1] == 5
    assert DockerDeploy().is_current(context), "a commit that changes nothing runs nothing"
    deploy(context, "b")
    assert service.counts[-1] == 5
    service.engine.images.add("sha256:a")
    first = next(each for each in context.store.releases.all("shop") if each.number == 1)
    DockerDeploy().rollback(context, first)
    assert service.counts[-1] == 5

    changed = with_replicas(context, 2)
    assert not DockerDeploy().is_current(changed)
    deploy(changed, "c")
    assert service.counts[-1] == 2
    deploy(with_replicas(context, 1), "d")
    assert service.counts[-1] == 1


def test_a_scale_that_fails_is_taken_back(context: StageContext, service: Service) -> None:
    """The former number is restored and stays the wanted one."""
    deploy(context, "a")
    service.errors["5 replicas"] = StageFailed("no memory")
    with pytest.raises(RolledBack, match="no memory; release 1 is active again"):
        DockerDeploy().scale(context, "web", 5)
    assert service.counts[-2:] == [5, 1]
    service.errors.clear()
    deploy(context, "b")
    assert service.counts[-1] == 1


def test_the_number_is_forgotten_after_down(context: StageContext, service: Service) -> None:
    """A deployment after `down` has the number of the file."""
    deploy(context, "a")
    DockerDeploy().scale(context, "web", 5)
    DockerDeploy().down(context)
    deploy(context, "b")
    assert service.counts[-1] == 1


def test_a_restart_keeps_the_release(context: StageContext, service: Service) -> None:
    """All replicas are replaced. If that fails, what is left of the former ones serves on."""
    deploy(context, "a")
    DockerDeploy().restart(context, "web")
    assert "restart 1" in service.taken
    assert last(context) == (DeploymentState.SUCCEEDED, "")
    service.errors["restart 1"] = StageFailed("no")
    with pytest.raises(RolledBack, match="no; release 1 is active again"):
        DockerDeploy().restart(context, "web")
    assert service.taken[-2:] == ["restart 1", "to 1"]


def test_what_cannot_be_scaled(context: StageContext, service: Service) -> None:
    """Nothing that is active, and an unknown service, are refused."""
    with pytest.raises(ConfigError, match="no release is active"):
        DockerDeploy().scale(context, "web", 2)
    deploy(context, "a")
    with pytest.raises(ConfigError, match="release 1 has no service worker"):
        DockerDeploy().restart(context, "worker")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web=5", True),
        ("web=0", False),
        ("=5", False),
        ("web=", False),
        ("web=501", False),
        ("web=" + "9" * 5000, False),
    ],
)
def test_the_form_of_a_scale(text: str, expected: bool) -> None:
    """A service and a number from 1 to 500 are wanted."""
    assert is_scale(text) == expected
