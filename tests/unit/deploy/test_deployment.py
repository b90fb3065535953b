"""The row of a deployment, however its work ends, and the way back."""

from __future__ import annotations

from contextlib import nullcontext, suppress

import pytest

from pipeline.api import StageContext
from pipeline.balancer.waiting import WaitingListener
from pipeline.base.errors import (
    Cancelled,
    ConfigError,
    EngineFault,
    LockHeld,
    PenstockError,
    RollbackFailed,
    RolledBack,
    StageFailed,
    StoreFault,
)
from pipeline.base.lock import work_lock
from pipeline.event_kinds import EventKind
from pipeline.events import Event
from pipeline.store.accessories import AccessoryRow
from pipeline.store.records import DeploymentState, ReleaseState
from pipeline.testing.fakes.engine import FakeEngine
from stages.deploy import open_rollout
from stages.deploy.deployment import Deployment
from stages.deploy.stage import DockerDeploy
from tests.unit.deploy.deployments import Killed, Service, deploy, last, states, with_replicas


def test_a_release_is_active_when_deploy_returns(context: StageContext, service: Service) -> None:
    """And the row says so before old images are removed."""
    service.errors["prune"] = Killed()
    with suppress(Killed):
        deploy(context, "a")
    assert last(context) == (DeploymentState.SUCCEEDED, "")
    service.errors.clear()
    assert deploy(context, "b").state is ReleaseState.ACTIVE
    assert states(context) == [ReleaseState.RETIRED, ReleaseState.ACTIVE]


def test_rules_that_nobody_serves_are_reported(context: StageContext, service: Service) -> None:
    """A deployment says so when it begins, and names no address when it ends. A down says so first."""
    service.waiting = [WaitingListener("shop", "edge", 8000)]
    told: list[tuple[str, int]] = []
    context.events.subscribe(lambda event: told.append((event.message, len(service.taken))))
    deploy(context, "a")
    assert ("port 8000 of load balancer edge of shop receives no requests" in told[1][0], told[1][1]) == (True, 0)
    service.taken.clear()
    told.clear()
    DockerDeploy().down(context)
    assert (told[0][0].startswith("after this, port 8000 of load balancer edge"), told[0][1]) == (True, 0)


@pytest.mark.parametrize("step", ["release command", "to 2", "to 1"])
@pytest.mark.parametrize("error", [Killed(), KeyError("web")], ids=["killed", "a bug"])
def test_a_deployment_that_did_not_end_stays_open(
    context: StageContext, service: Service, step: str, error: BaseException
) -> None:
    """A kill or an unknown error at any step leaves the row open; the next command restores the last good release."""
    deploy(context, "a")
    service.errors["to 2"] = StageFailed("no")
    service.errors[step] = error
    with pytest.raises(type(error)):
        deploy(context, "b")
    row = context.store.deployments.open("shop")
    assert row is not None
    service.errors.clear()
    assert DockerDeploy().recover(context, row) == "release 1 is active"
    assert last(context) == (DeploymentState.INTERRUPTED, "")
    assert states(context) == [ReleaseState.ACTIVE, ReleaseState.FAILED]


@pytest.mark.parametrize(
    ("failure", "raised"),
    [(StageFailed("no"), RolledBack), (EngineFault("no"), EngineFault), (Cancelled("no"), Cancelled)],
)
def test_a_failed_rollout_is_rolled_back(
    context: StageContext, service: Service, failure: PenstockError, raised: type[PenstockError]
) -> None:
    """The error says which release serves again, and the row says why the new one does not."""
    deploy(context, "a")
    service.errors["to 2"] = failure
    with pytest.raises(raised, match="release 1 is active again"):
        deploy(context, "b")
    assert service.taken[-2:] == ["to 2", "to 1"]
    assert last(context)[0] is DeploymentState.ROLLED_BACK
    assert last(context)[1].startswith("no")


def test_a_first_release_that_fails_is_taken_down(context: StageContext, service: Service) -> None:
    """Nothing is left of it."""
    service.errors["to 1"] = StageFailed("no")
    with pytest.raises(StageFailed, match="no; no release was active before, so it was removed"):
        deploy(context, "a")
    assert service.taken == ["release command", "to 1", "tear down"]
    assert last(context) == (DeploymentState.ROLLED_BACK, "no")


def test_a_failed_release_command_moves_nothing(context: StageContext, service: Service) -> None:
    """The active release serves on, and there is nothing to roll back."""
    deploy(context, "a")
    service.errors["release command"] = StageFailed("no table")
    with pytest.raises(StageFailed, match="no table; release 1 stays active"):
        deploy(context, "b")
    assert "to 2" not in service.taken
    assert last(context) == (DeploymentState.FAILED, "no table")


def test_a_failed_deployment_of_the_active_release_stays(context: StageContext, service: Service) -> None:
    """There is no other release to go back to."""
    deploy(context, "a")
    service.errors["to 1"] = StageFailed("no")
    with pytest.raises(StageFailed, match=r"^no$"):
        deploy(context, "a")
    assert last(context) == (DeploymentState.FAILED, "no")


def test_a_rollback_that_fails_is_not_tried_again(context: StageContext, service: Service) -> None:
    """Both failures are in the error. The row says why the previous release did not come back."""
    deploy(context, "a")
    service.errors |= {"to 2": StageFailed("no"), "to 1": StageFailed("port taken")}
    with pytest.raises(RollbackFailed, match="no; the rollback failed too: port taken"):
        deploy(context, "b")
    assert last(context) == (DeploymentState.FAILED, "port taken")


def test_a_rollback_after_a_system_fault_is_continued(context: StageContext, service: Service) -> None:
    """If it fails too: Docker may be away for both. The row stays open, and recovery closes it."""
    deploy(context, "a")
    service.errors |= {"to 2": EngineFault("Docker is away"), "to 1": EngineFault("Docker is away")}
    with pytest.raises(EngineFault) as error:
        deploy(context, "b")
    assert "the next command restores the last good release" in (error.value.hint or "")
    row = context.store.deployments.open("shop")
    assert row is not None
    with pytest.raises(EngineFault):
        DockerDeploy().recover(context, row)
    assert last(context)[0] is DeploymentState.RUNNING
    service.errors.clear()
    DockerDeploy().recover(context, row)
    assert last(context)[0] is DeploymentState.INTERRUPTED


def test_recovery_of_a_release_that_no_longer_works_closes_the_row(context: StageContext, service: Service) -> None:
    """Otherwise it would keep a new release out."""
    deploy(context, "a")
    service.errors["to 2"] = Killed()
    with suppress(Killed):
        deploy(context, "b")
    row = context.store.deployments.open("shop")
    assert row is not None
    service.errors["to 1"] = ConfigError("the port is taken")
    with pytest.raises(ConfigError):
        DockerDeploy().recover(context, row)
    assert last(context) == (DeploymentState.FAILED, "the port is taken")


@pytest.mark.parametrize("error", [Killed(), EngineFault("Docker is away")])
def test_an_interrupted_down_is_finished(context: StageContext, service: Service, error: BaseException) -> None:
    """By the next command, whether the process was killed or Docker went away."""
    deploy(context, "a")
    service.errors["tear down"] = error
    with suppress(Killed, EngineFault):
        DockerDeploy().down(context)
    row = context.store.deployments.open("shop")
    assert row is not None
    service.errors.clear()
    assert DockerDeploy().recover(context, row) == "the interrupted `pipeline down` is complete"
    assert last(context) == (DeploymentState.SUCCEEDED, "")
    assert context.store.releases.active("shop") is None


def test_a_down_does_not_cut_a_restore(context: StageContext, service: Service) -> None:
    """It is refused before anything changes. One that was interrupted before is completed after the restore."""
    deploy(context, "a")
    context.store.accessories.put("shop", AccessoryRow("db", "running", None, None))
    service.taken.clear()
    with work_lock(context.home.lock("shop.db.data"), "restore of db"):
        with pytest.raises(LockHeld, match=r"^restore of db \(pid \d+\) has been running since") as caught:
            DockerDeploy().down(context)
        assert caught.value.hint == "let it end, or stop it with Ctrl-C in its terminal, and repeat this command"
        assert (service.taken, context.store.deployments.open("shop")) == ([], None)
        row = context.store.deployments.begin("shop", context.run, 1, None)
        with pytest.raises(LockHeld):
            DockerDeploy().recover(context, row)
    assert context.store.deployments.open("shop") == row
    assert DockerDeploy().recover(context, row) == "the interrupted `pipeline down` is complete"
    assert context.store.accessories.all("shop") == []


def test_a_down_that_docker_does_not_answer_is_finished(
    context: StageContext, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it was away from the start."""

    def away(_: str) -> FakeEngine:
        raise EngineFault("Docker is away")

    monkeypatch.setattr(open_rollout, "local_engine", away)
    with pytest.raises(EngineFault):
        DockerDeploy().down(context)
    assert last(context)[0] is DeploymentState.RUNNING


def test_an_interrupted_first_release_is_taken_down(context: StageContext, service: Service) -> None:
    """There is no release to put back."""
    service.errors["to 1"] = Killed()
    with suppress(Killed):
        deploy(context, "a")
    row = context.store.deployments.open("shop")
    assert row is not None
    assert DockerDeploy().recover(context, row).endswith("the interrupted one was removed")
    assert last(context) == (DeploymentState.INTERRUPTED, "")


def test_an_outcome_that_cannot_be_stored_leaves_the_row_open(
    context: StageContext, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not replaced by another one, and recovery decides."""
    finish = context.store.deployments.finish

    def full(*_: object, **__: object) -> None:
        monkeypatch.setattr(context.store.deployments, "finish", finish)
        raise StoreFault("the disk is full")

    monkeypatch.setattr(context.store.deployments, "finish", full)
    with pytest.raises(StoreFault):
        deploy(context, "a")
    assert last(context)[0] is DeploymentState.RUNNING


def test_a_failure_that_cannot_be_stored_leaves_the_row_open(context: StageContext, service: Service) -> None:
    """Nothing was rolled back yet, so recovery has to do it."""
    deploy(context, "a")

    def full(event: Event) -> None:
        if event.kind == EventKind.DEPLOYMENT_FAILED:
            raise StoreFault("the disk is full")

    context.events.subscribe(full)
    service.errors["to 2"] = StageFailed("no")
    with pytest.raises(StoreFault):
        deploy(context, "b")
    assert service.taken[-1] == "to 2"
    assert last(context)[0] is DeploymentState.RUNNING


def test_a_deployment_needs_an_outcome(context: StageContext) -> None:
    """Leaving it without an outcome is a bug of the caller, and the row is closed."""
    with pytest.raises(RuntimeError, match="without an outcome"), Deployment.begin(context, None, None):
        pass
    assert last(context)[0] is DeploymentState.FAILED


@pytest.mark.parametrize(("cpus", "is_possible"), [("0.5", True), ("8", True), ("8.01", False), ("64", False)])
def test_more_processors_than_the_machine_has_are_refused_before_the_build(
    context: StageContext, service: Service, cpus: str, is_possible: bool
) -> None:
    """Docker refuses the limit when it creates the container. The fake engine has 8 processors."""
    wanted = with_replicas(context, 1, f"cpus: {cpus},")
    refusal = pytest.raises(ConfigError, match=rf"deploy\.cpus: {cpus} is more than the 8 CPUs of Docker's machine")
    with nullcontext() if is_possible else refusal:
        DockerDeploy().preflight(wanted)
    assert service.taken == []


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ("networks: [backend],", None),
        ("networks: [backned],", "deploy.networks: Docker has no network backned"),
        (
            "networks: [penstock-%s-shop],",
            "deploy.networks: penstock-%s-shop is the network of shop itself, which its containers join anyway",
        ),
        ("logging: {driver: syslog},", None),
        ("logging: {driver: none},", None),
        ("logging: {options: {max-size: 1m}},", None),
        ("logging: {driver: sislog},", "deploy.logging.driver: Docker has no log driver sislog"),
    ],
)
def test_what_the_engine_does_not_have_is_refused_before_the_build(
    context: StageContext, service: Service, keys: str, error: str | None
) -> None:
    """A network or a log driver that the engine does not have stops a run before anything starts, and its plan."""
    service.engine.networks.add("backend")
    home = service.engine.networks.name("shop").split("-")[1]
    wanted = with_replicas(context, 1, keys.replace("%s", home))
    if error is None:
        DockerDeploy().preflight(wanted)
        return
    with pytest.raises(ConfigError) as caught:
        DockerDeploy().preflight(wanted)
    assert caught.value.message == error.replace("%s", home)
    assert service.taken == []


def test_a_rollback_needs_the_networks_of_its_release(context: StageContext, service: Service) -> None:
    """A network that was removed since is found before a container is replaced."""
    service.engine.networks.add("backend")
    first = deploy(with_replicas(context, 1, "networks: [backend],"), "a")
    deploy(with_replicas(context, 1), "b")
    service.engine.images.add("sha256:a")
    service.engine.networks.remove_private("backend")
    taken = list(service.taken)
    with pytest.raises(ConfigError, match=r"release 1, web\.networks: Docker has no network backend"):
        DockerDeploy().rollback(context, first)
    assert service.taken == taken
