"""Several services in one release: deployed, rolled back, repaired and removed together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from pipeline.balancer.model import Target
from pipeline.base.errors import ConfigError, RollbackFailed, RolledBack, StageFailed
from pipeline.config.load import load
from pipeline.config.release import ReleaseSpec
from pipeline.runner.context import PipelineContext
from pipeline.store.queue import RunRequest
from pipeline.store.records import Trigger
from pipeline.testing.fakes.engine import FakeEngine
from stages.deploy.service_images import check_images
from stages.deploy.stage import DockerDeploy
from tests.support.waiting import until
from tests.unit.core.machine import Machine
from tests.unit.core.service_files import LISTENERS, WEB, WORKER, write
from tests.unit.core.world import NAME, World


@pytest.fixture
def machine(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine with a web and a worker, of which nothing runs."""
    with Machine(world, monkeypatch) as machine:
        write(world, WEB, WORKER)
        yield machine


def test_services_are_one_release(world: World, machine: Machine) -> None:
    """Each runs its replicas under its own name, in the order of `after`, and a commit replaces them all."""
    world.runner().run("a")
    assert machine.counts() == {("web", 1): 2, ("worker", 1): 3}
    world.runner().run("b")
    assert machine.counts() == {("web", 2): 2, ("worker", 2): 3}
    assert {spec.command for spec in machine.runtime.specs.values() if spec.service == "worker"} == {("work",)}


def test_a_service_waits_for_those_before_it(world: World, machine: Machine) -> None:
    """Whatever the order of the file."""
    write(world, WORKER, WEB)
    world.runner().run("a")
    heard = [event.message for event in world.store.events.latest(NAME)]
    order = "web: 2 wanted, at most 3 running; worker: 3 wanted, at most 4 running"
    assert f"to release 1, one service after the other: {order}" in heard


def test_a_second_service_that_fails_rolls_the_first_one_back(world: World, machine: Machine) -> None:
    """No replica of the new release is left."""
    world.runner().run("a")
    machine.fail("worker", 2)
    with pytest.raises(RolledBack, match="release 1 is active again"):
        world.runner().run("b")
    assert machine.counts() == {("web", 1): 2, ("worker", 1): 3}


def test_a_first_release_that_fails_leaves_nothing(world: World, machine: Machine) -> None:
    """The services before the one that failed are removed too."""
    machine.fail("worker", 1)
    with pytest.raises(StageFailed, match="no release was active before, so it was removed"):
        world.runner().run("a")
    assert not machine.runtime.list(NAME)


def test_a_service_that_is_taken_out_is_removed(world: World, machine: Machine) -> None:
    """Its replicas, its targets and its target group are gone after the deployment. A rollback brings it back."""
    second = LISTENERS.replace("{web: {port: 8080}}", "{web: {port: 8080}, api: {port: 8081}}").replace(
        "[{port: 8000,", "[{port: 8001, default_action: {forward: api}}, {port: 8000,"
    )
    write(world, WEB, "api: {target_group: api}", balancer=second)
    world.runner().run("a")
    assert machine.counts() == {("web", 1): 2, ("api", 1): 1}
    write(world, WEB)
    world.runner().run("b")
    assert machine.counts() == {("web", 2): 2}
    declared = machine.balancer.declaration(NAME)
    assert declared is not None
    assert declared.target_groups.keys() == {"web"}


def test_one_service_is_scaled(world: World, machine: Machine) -> None:
    """The others keep their replicas. The number lasts until the service is taken out of the file."""
    world.runner().run("a")
    world.runner().scale("worker=5")
    assert machine.counts() == {("web", 1): 2, ("worker", 1): 5}
    world.runner().run("b")
    assert machine.counts() == {("web", 2): 2, ("worker", 2): 5}
    with pytest.raises(ConfigError, match="release 2 has no service nightly") as caught:
        world.runner().scale("nightly=5")
    assert caught.value.hint == "its services are web, worker"
    write(world, WEB)
    world.runner().run("c")
    write(world, WEB, WORKER)
    world.runner().run("d")
    assert machine.counts() == {("web", 4): 2, ("worker", 4): 3}


def test_one_service_is_restarted_or_all(world: World, machine: Machine) -> None:
    """New replicas of the same release replace those of the service, and without a name those of all."""
    world.runner().run("a")
    before = machine.names()
    world.runner().restart("worker")
    after = machine.names()
    assert after["web"] == before["web"]
    assert after["worker"].isdisjoint(before["worker"])
    world.runner().restart()
    assert all(names.isdisjoint(after[service]) for service, names in machine.names().items())
    assert machine.counts() == {("web", 1): 2, ("worker", 1): 3}


def test_a_restart_that_fails_leaves_the_other_services(world: World, machine: Machine) -> None:
    """Their replicas are the same as before."""
    world.runner().run("a")
    before = machine.names()
    machine.fail("worker", 1)
    with pytest.raises((RolledBack, RollbackFailed)):
        world.runner().restart("worker")
    assert machine.names()["web"] == before["web"]


def test_each_service_has_its_notice(world: World, machine: Machine) -> None:
    """A replica that begins to drain gets the notice of its own service, and none if its service has none."""
    write(world, WEB.replace("}", ", on_drain: {signal: SIGHUP}}"), WORKER)
    world.runner().run("a")
    leaving = machine.names()["web"]
    world.runner().run("b")
    # The engine of this test knows no replica.
    expected = {f"{name}: on_drain failed: its container is gone" for name in leaving}
    until(lambda: expected == {text for text in machine.heard() if "on_drain failed" in text}, "each notice")


def test_a_process_that_dies_at_an_event_leaves_services_of_one_release(world: World, machine: Machine) -> None:
    """The next process puts the previous release back, and executes the run again."""
    world.runner().run("a")
    for step in count(0, 7):
        daemon = world.serve()
        last = len(daemon.heard) + step
        daemon.dies_at = lambda _, heard=daemon.heard, last=last: len(heard) > last
        (number,) = world.queue(daemon, RunRequest(Trigger.WEBHOOK, sha=f"c{step}"))
        world.until(
            lambda daemon=daemon, n=number: daemon.power.dead or world.run(n).state.over,
            "a death or the end of the run",
        )
        if not daemon.power.dead:
            break
        daemon.bury()
        successor = world.serve()
        world.until_idle()
        active = world.store.releases.active(NAME)
        assert active is not None
        assert machine.counts() == {("web", active.number): 2, ("worker", active.number): 3}
        world.assert_consistent()
        successor.stop()
    assert step > 40


def test_a_pipeline_without_a_balancer(world: World, machine: Machine) -> None:
    """Nothing is declared, and no data plane is started. A down leaves nothing."""
    write(world, "worker: {}", balancer="")
    world.runner().run("a")
    assert machine.counts() == {("worker", 1): 1}
    assert machine.balancer.pid() is None
    world.runner().down()
    assert not machine.runtime.list(NAME)


def test_the_plan_of_several_services(world: World, machine: Machine) -> None:
    """Each line of a service begins with its name. What is active already has none."""
    steps = world.runner().plan("a")["deploy"]
    assert steps[:2] == ["start the balancer", "web: start new-1"]
    assert "worker: healthy targets: none before the rollout; containers: at most 3" in steps
    world.runner().run("a")
    write(world, WEB)
    assert "remove the service worker" in world.runner().plan("a")["deploy"]


def test_a_rollback_needs_each_image(world: World, machine: Machine) -> None:
    """If one of a service is gone, its name may be that of another one. A rollback runs the one of the release."""
    for number in (7, 8):
        world.engine.images.registry.add(f"redis:{number}")
        write(world, WEB, f"cache: {{image: 'redis:{number}'}}")
        world.runner().run("a")
    release = world.store.releases.get(NAME, 1)
    assert release is not None
    with pytest.raises(ConfigError, match="the image redis:7 of release 1 is gone"):
        check_images(FakeEngine(), 1, ReleaseSpec.parse(release.spec))
    world.engine.images.add(release.image_id)
    world.runner().rollback(1)
    assert machine.counts() == {("web", 1): 2, ("cache", 1): 1}


def test_a_service_with_an_image_of_its_own(world: World, machine: Machine) -> None:
    """It is pulled if it is missing. One that cannot be pulled changes nothing."""
    write(world, WEB, "cache: {image: 'redis:7'}")
    world.engine.images.registry.add("redis:7")
    assert "pull redis:7" in world.runner().plan("a")["deploy"]
    world.runner().run("a")
    image = world.engine.images.id("redis:7")
    assert {spec.image for spec in machine.runtime.specs.values() if spec.service == "cache"} == {image}
    assert DockerDeploy().is_current(PipelineContext(world.home, load(world.file), world.store).stage_context(run=9))
    write(world, WEB, "cache: {image: 'redis:8'}")
    assert not DockerDeploy().is_current(
        PipelineContext(world.home, load(world.file), world.store).stage_context(run=9)
    )
    with pytest.raises(StageFailed, match="image redis:8 is missing and cannot be pulled"):
        world.runner().run("a")
    assert machine.counts() == {("web", 1): 2, ("cache", 1): 1}


def test_targets_of_other_programs_stay(world: World, machine: Machine) -> None:
    """A group that no service names has targets from elsewhere. A deployment neither counts nor removes them."""
    balancer = LISTENERS.replace("{web: {port: 8080}}", "{web: {port: 8080}, legacy: {port: 80}}")
    write(world, "site: {target_group: web}", balancer=balancer)
    world.runner().run("a")
    machine.balancer.register(NAME, "legacy", Target(id="old-server", address="127.0.0.1", port=8090))
    world.runner().run("b")
    assert [one.target.id for one in machine.balancer.registry().registrations(NAME, "legacy")] == ["old-server"]
    assert machine.counts() == {("site", 2): 1}
    assert "remove the service web" not in world.runner().plan("b")["deploy"]


def test_a_group_keeps_its_service(world: World, machine: Machine) -> None:
    """Another service with the same group would take the targets of the first one for its own, and remove them."""
    world.runner().run("a")
    write(world, "api: {target_group: web}")
    with pytest.raises(ConfigError, match="web has the targets of the service web"):
        world.runner().run("b")
    write(world, "web: {}", balancer="")
    with pytest.raises(ConfigError, match="target_group was web and is not set now"):
        world.runner().run("c")
    assert machine.counts() == {("web", 1): 2, ("worker", 1): 3}
