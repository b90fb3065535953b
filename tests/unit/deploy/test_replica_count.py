"""The number of replicas: deployed, kept by a rollback, and restored when a deployment fails."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from pipeline.api import StageContext
from pipeline.base.errors import ConfigError, EngineFault, RollbackFailed, RolledBack, StageFailed
from pipeline.config.load import load
from pipeline.config.release import ReleaseSpec
from pipeline.runner.context import PipelineContext
from pipeline.store.records import DeploymentState, Release
from stages.deploy.stage import DockerDeploy
from tests.support.started_runs import begin_run
from tests.unit.deploy.deployments import PIPELINE, Killed, Service, deploy, last, rows, with_replicas

LIMITS = ("pids_limit", "cap_add", "cap_drop", "no_new_privileges")


def wanted(context: StageContext) -> int | None:
    """Return the stored number of replicas."""
    return context.store.services.wanted("shop", "web")


def deploy_with_images(context: StageContext, service: Service, commit: str) -> Release:
    """Deploy a commit whose image can be rolled back to."""
    service.engine.images.add(f"sha256:{commit}")
    return deploy(context, commit)


def activate_version_1(context: StageContext) -> None:
    """Store an active release as version 0.1.0 does."""
    spec = ReleaseSpec.of(context.configuration, image_id="sha256:a", image_tag="shop:a", sha="a" * 40, subject="Say")
    former = {
        key: value for key, value in json.loads(spec.model_dump_json()).items() if key not in ("version", "services")
    }
    section = context.configuration.pipeline.deploy
    settings = json.loads(section.settings.model_dump_json())
    former["deploy"] = {key: value for key, value in settings.items() if key not in LIMITS}
    former["deploy"]["replicas"] = section.replicas
    store = context.store
    run = begin_run(store, "shop").number
    release = store.releases.create(
        "shop", run, sha=spec.sha, subject="Say", image_id="sha256:a", image_tag="shop:a", spec=json.dumps(former)
    )
    store.deployments.finish(store.deployments.begin("shop", run, None, release.number), DeploymentState.SUCCEEDED)


def test_a_release_holds_no_number(context: StageContext, service: Service) -> None:
    """Its spec is of version 2, with the service `web`. The number is stored by the deployment."""
    spec = json.loads(deploy(with_replicas(context, 4), "a").spec)
    assert spec["version"] == 2
    assert spec["services"]["web"]["target_group"] == "web"
    assert "replicas" not in json.dumps(spec)
    assert (service.counts, wanted(context)) == ([4], 4)


def test_another_number_alone_is_a_deployment_of_the_same_release(context: StageContext, service: Service) -> None:
    """It makes no release, and each success stores the number."""
    first = deploy(context, "a")
    for count in (3, 2):
        scaled = with_replicas(context, count)
        assert not DockerDeploy().is_current(scaled)
        assert deploy(scaled, "a").number == first.number
        assert DockerDeploy().is_current(scaled)
        assert wanted(context) == count
    assert service.counts == [1, 3, 2]
    assert rows(context) == [(DeploymentState.SUCCEEDED, "")] * 3
    assert len(context.store.releases.all("shop")) == 1


@pytest.mark.parametrize(("failure", "raised"), [(StageFailed("no"), RolledBack), (EngineFault("no"), EngineFault)])
def test_another_number_that_fails_is_rolled_back(
    context: StageContext, service: Service, failure: Exception, raised: type[Exception]
) -> None:
    """The previous number is back, in the service and in the store."""
    deploy(context, "a")
    service.errors["3 replicas"] = failure
    with pytest.raises(raised, match="release 1 is active again"):
        deploy(with_replicas(context, 3), "a")
    assert (service.counts, wanted(context)) == ([1, 3, 1], 1)
    assert last(context)[0] is DeploymentState.ROLLED_BACK


def test_a_failed_release_with_another_number_restores_both(context: StageContext, service: Service) -> None:
    """The previous release comes back with the previous number."""
    deploy(with_replicas(context, 2), "a")
    service.errors["to 2"] = StageFailed("no")
    with pytest.raises(RolledBack):
        deploy(with_replicas(context, 5), "b")
    assert service.taken[-2:] == ["to 2", "to 1"]
    assert (service.counts, wanted(context)) == ([2, 5, 2], 2)


@pytest.mark.parametrize("commit", ["a", "b"])
def test_recovery_restores_the_previous_number(context: StageContext, service: Service, commit: str) -> None:
    """A deployment that was killed leaves no trace of its number, whether it had a new release or not."""
    deploy(with_replicas(context, 2), "a")
    service.errors["5 replicas"] = Killed()
    with suppress(Killed):
        deploy(with_replicas(context, 5), commit)
    row = context.store.deployments.open("shop")
    assert row is not None
    assert DockerDeploy().recover(with_replicas(context, 5), row) == "release 1 is active"
    assert (service.counts, wanted(context)) == ([2, 5, 2], 2)


def test_a_rollback_keeps_the_number(context: StageContext, service: Service) -> None:
    """The number of the last deployment counts, not that of the release or the file."""
    first = deploy_with_images(with_replicas(context, 2), service, "a")
    second = deploy_with_images(with_replicas(context, 4), service, "b")
    for release in (first, second):
        DockerDeploy().rollback(with_replicas(context, 9), release)
        active = context.store.releases.active("shop")
        assert active is not None
        assert (active.number, wanted(context)) == (release.number, 4)
    assert service.counts == [2, 4, 4, 4]


def test_a_rollback_that_fails_keeps_the_number(context: StageContext, service: Service) -> None:
    """The release before it comes back with the number that it had."""
    first = deploy_with_images(with_replicas(context, 2), service, "a")
    deploy_with_images(with_replicas(context, 4), service, "b")
    service.errors["to 1"] = StageFailed("no")
    with pytest.raises(RolledBack, match="release 2 is active again"):
        DockerDeploy().rollback(context, first)
    assert (service.counts, wanted(context)) == ([2, 4, 4, 4], 4)


def test_a_rollback_whose_limits_let_nothing_move_is_refused(context: StageContext, service: Service) -> None:
    """25 % of the old number was one replica, and of the number now it is none. Nothing is changed."""
    limits = "rolling: {max_surge: 0, max_unavailable: 25%},"
    first = deploy_with_images(with_replicas(context, 4, limits), service, "a")
    deploy_with_images(with_replicas(context, 2), service, "b")
    with pytest.raises(ConfigError) as error:
        DockerDeploy().rollback(context, first)
    assert error.value.message == (
        "release 1 cannot be rolled out to 2 replicas: its max_surge 0 and max_unavailable 25% of 2 are both 0"
    )
    assert len(rows(context)) == 2
    assert service.counts == [4, 2]


def test_a_release_of_version_1_counts_until_a_deployment(context: StageContext, service: Service) -> None:
    """Its own number is wanted, also by recovery and by a comparison with the file, until a deployment sets one."""
    former = with_replicas(context, 3)
    activate_version_1(former)
    assert wanted(context) == 3
    assert DockerDeploy().is_current(former)
    assert not DockerDeploy().is_current(with_replicas(context, 2))
    service.errors["2 replicas"] = Killed()
    with suppress(Killed):
        deploy(with_replicas(context, 2), "b")
    interrupted = context.store.deployments.open("shop")
    assert interrupted is not None
    DockerDeploy().recover(with_replicas(context, 2), interrupted)
    assert service.counts == [2, 3]
    service.errors.clear()
    deploy(with_replicas(context, 2), "b")
    assert wanted(context) == 2


def test_a_release_of_version_1_that_is_scaled_keeps_its_limits(context: StageContext, service: Service) -> None:
    """The default limits come with the next commit, or when the file sets others. A rollback removes them."""
    activate_version_1(with_replicas(context, 1))
    former = deploy_with_images(with_replicas(context, 3), service, "a")
    assert (former.number, service.counts) == (1, [3])
    assert not ReleaseSpec.parse(former.spec).settings.no_new_privileges
    assert not DockerDeploy().is_current(with_replicas(context, 3, "pids_limit: 64,"))
    current = deploy_with_images(with_replicas(context, 3), service, "b")
    assert (current.number, ReleaseSpec.parse(current.spec).settings.no_new_privileges) == (2, True)
    DockerDeploy().rollback(context, former)
    assert [step for step in service.taken if step.startswith("to ")] == ["to 1", "to 2", "to 1"]


def test_a_release_that_loosened_its_limits_is_limited_again(context: StageContext, service: Service) -> None:
    """Only a release of version 1 keeps Docker's limits without the keys that set them."""
    loose = "pids_limit: -1, cap_add: [AUDIT_WRITE, MKNOD, NET_RAW], no_new_privileges: false,"
    first = deploy(with_replicas(context, 1, loose), "a")
    assert not DockerDeploy().is_current(with_replicas(context, 1))
    assert deploy(with_replicas(context, 1), "a").number == first.number + 1


def test_a_reason_is_stored_without_secrets(context: StageContext, service: Service) -> None:
    """It may quote what a container printed."""
    file = context.home.root / "pipeline.yaml"
    file.write_text((PIPELINE % 1).replace("web,", "web, environment: {PASSWORD: '${secret:PASSWORD}'},", 1))
    configuration = load(file, {}, {"PASSWORD": "hunter22"})
    context = PipelineContext(context.home, configuration, context.store).stage_context(run=1)
    deploy(context, "a")
    service.errors["to 2"] = StageFailed("cannot log in with hunter22")
    with pytest.raises(RolledBack):
        deploy(context, "b")
    assert last(context) == (DeploymentState.ROLLED_BACK, "cannot log in with ***")
    service.errors |= {"to 3": StageFailed("no"), "to 1": StageFailed("hunter22 is refused")}
    with pytest.raises(RollbackFailed):
        deploy(context, "c")
    assert last(context) == (DeploymentState.FAILED, "*** is refused")
