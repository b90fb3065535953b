"""Whatever is done to it, the service answers, what happened is told, and in the end all is as declared."""

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

pytestmark = [pytest.mark.docker, pytest.mark.timeout(400)]

KILLS, SEED = 5, 20
# In seconds: from when on the daemon may be killed after its start, and when at the latest.
SOONEST, LATEST = 0.2, 3.0
LONGEST_GAP = 2000.0


def test_the_daemon_is_killed_again_and_again(project: Project) -> None:
    """At random moments, while commits come: not a request is lost, and every run ends in a state that is true."""
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


def test_every_fault_is_explained_and_mended(base_image: str, tmp_path: Path) -> None:
    """Each kind once: no request is lost but to a HAProxy that is killed and a target that stops to answer."""
    own = nullcontext(None) if obstacle() else private_engine(base_image, live_restore=True)
    with own as engine, chaotic_service(base_image, tmp_path, SEED, 40, engine) as (chaos, load):
        for fault in islice(chaos.sequence(), chaos.count):
            said = chaos.inject(fault)
            lost = [failure for failure in load.report().failures if cause(failure) not in LOSING]
            assert not lost, f"{fault}: {lost}\n{said}"
        assert load.report().longest_gap < LONGEST_GAP


def test_haproxy_is_started_again_where_the_disk_is_full(project: Project) -> None:
    """It is told when there is room again."""
    with small_disk(project.home.root) as disk:
        if not disk:
            pytest.skip("only root can mount a small disk")
        Home.locate({"PENSTOCK_HOME": str(project.home.root)})
        try:
            with serving(project) as served:
                served.await_run(1)
                with full(project.home.root):
                    os.kill(haproxy_processes(project.home)["master"], signal.SIGKILL)
                    until(lambda: "HAProxy was not running" in served.output(), "a word of HAProxy's end")
                    with project.load() as load:
                        assert load.stop().failed == 0
                served.await_event("balancer.restarted")
        finally:
            # Without its disk, nobody would find its HAProxy.
            project.remove()


def test_all_of_it_is_taken_away(project: Project) -> None:
    """Containers and network: they are made anew, also where the network gets other addresses than before."""
    with serving(project) as served:
        served.await_run(1)
        label = f"label=penstock.home={project.home.id}"
        network = docker("network", "ls", "-q", "--filter", label).strip()
        docker("rm", "-f", *docker("ps", "-aq", "--filter", label).split())
        # The upkeep may be quicker, and have begun to put new ones into it.
        subprocess.run(["docker", "network", "rm", network], capture_output=True, check=False)
        wait_until_idle(project)
        with project.load() as load:
            assert load.stop().failed == 0
