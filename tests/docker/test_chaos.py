"""Under random faults the service responds, events explain each fault, and all drift is repaired in the end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import pytest

from pipeline.balancer.model import TargetState
from pipeline.base.home import Home
from tests.docker.chaos import LOSING, cause, chaotic_service, full, small_disk
from tests.docker.invariants import (
    assert_deployed_in_order,
    assert_each_has_a_run,
    assert_last_is_deployed,
    assert_no_orphans,
    assert_sound,
    assert_true_states,
    wait_until_idle,
)
from tests.docker.private_engine import obstacle, private_engine
from tests.docker.project import Project, docker, haproxy_processes, until
from tests.docker.serving import serving
from tests.docker.writers import committing, line
from tests.support.sample import FULL
from tests.support.waiting import COMMAND_TIMEOUT

pytestmark = pytest.mark.docker

KILLS, SEED = 5, 20
# The shortest and the longest time from the daemon's start to its SIGKILL, in seconds.
SOONEST, LATEST = 0.2, 3.0
# Milliseconds. `bench/chaos.py` measures it on an otherwise idle machine.
LONGEST_GAP = 10_000.0


def test_the_daemon_is_killed_again_and_again(project: Project) -> None:
    """SIGKILL at random moments loses no request, and every run ends in a state that is true."""
    chance = random.Random(SEED)
    with serving(project) as served:
        served.await_run(1)
        with project.load() as load:
            with committing(project):
                for _ in range(KILLS):
                    threading.Event().wait(chance.uniform(SOONEST, LATEST))
                    served.kill()
                    served.start()
            last = project.commit("last")
            wait_until_idle(project, last)
            assert load.stop().failed == 0
        commits = line(project.directory)
        assert_each_has_a_run(project, commits)
        assert_deployed_in_order(project, commits)
        assert_last_is_deployed(project, project.directory, last)
        assert_true_states(project)
        assert_no_orphans(project)
        assert_sound(project.home)


def test_every_fault_is_explained_and_repaired(base_image: str, tmp_path: Path) -> None:
    """Only a killed HAProxy and a target that stops responding cost requests. Half of the faults unless run in full."""
    own = nullcontext(None) if obstacle() else private_engine(base_image, live_restore=True)
    with own as engine, chaotic_service(base_image, tmp_path, SEED, 40, engine) as (chaos, load):
        for fault in islice(chaos.sequence(), chaos.count if FULL else chaos.count // 2):
            said = chaos.inject(fault)
            lost = [failure for failure in load.report().failures if cause(failure) not in LOSING]
            assert not lost, f"{fault}: {lost}\n{said}"
        assert load.report().longest_gap < LONGEST_GAP


def test_haproxy_is_restarted_while_the_disk_is_full(project: Project) -> None:
    """HAProxy is restarted while the disk is full, and the event is written once there is space."""
    with small_disk(project.home.root) as disk:
        if not disk:
            pytest.skip("only root can mount a small disk")
        Home.locate({"PENSTOCK_HOME": str(project.home.root)})
        try:
            with serving(project) as served:
                served.await_run(1)
                with full(project.home.root):
                    os.kill(haproxy_processes(project.home)["master"], signal.SIGKILL)
                    until(lambda: "HAProxy was not running" in served.output(), "a report of the missing HAProxy")
                    with project.load() as load:
                        assert load.stop().failed == 0
                served.await_event("balancer.restarted")
        finally:
            # Without its disk, HAProxy could not be found any more.
            project.remove()


def test_a_removed_container_is_replaced_while_the_disk_is_full(project: Project) -> None:
    """The space that is kept for the registry suffices. No request is lost."""
    with small_disk(project.home.root) as disk:
        if not disk:
            pytest.skip("only root can mount a small disk")
        Home.locate({"PENSTOCK_HOME": str(project.home.root)})
        try:
            # Of two targets, the other one would be the last: nothing is repeated there.
            project.replicas = 3
            project.configure()
            project.commit("1")
            with serving(project) as served:
                served.await_run(1)
                for _ in range(2):
                    before = {container.name for container in project.containers()}
                    with full(project.home.root), project.load(idempotent=True) as load:
                        docker("rm", "-f", min(before))
                        until(lambda before=before: is_replaced(project, min(before)), "another container")
                        assert load.stop().failed == 0
                served.await_event("reconcile.repaired", 2)
                project.assert_serving(1)
        finally:
            project.remove()


def is_replaced(project: Project, name: str) -> bool:
    """Return whether all targets are healthy, and the one of this name is gone."""
    states = {health.target.id: health.state for health in project.targets()}
    return name not in states and list(states.values()) == [TargetState.HEALTHY] * project.replicas


def test_removed_containers_and_network_are_re_created(project: Project) -> None:
    """Removed containers and a removed network are re-created, also if the network gets other addresses."""
    with serving(project) as served:
        served.await_run(1)
        label = f"label=penstock.home={project.home.id}"
        network = docker("network", "ls", "-q", "--filter", label).strip()
        docker("rm", "-f", *docker("ps", "-aq", "--filter", label).split())
        # The repair loop may be quicker and have connected new containers already.
        subprocess.run(["docker", "network", "rm", network], capture_output=True, check=False, timeout=COMMAND_TIMEOUT)
        wait_until_idle(project)
        with project.load() as load:
            assert load.stop().failed == 0
