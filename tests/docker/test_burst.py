"""Bursts of commits: each has its run, and deployments follow one another in the order of the commits."""

from __future__ import annotations

import pytest

from tests.docker.invariants import (
    DockerEventRecorder,
    assert_deployed_in_order,
    assert_each_has_a_run,
    assert_last_is_deployed,
    assert_no_orphans,
    assert_sound,
    assert_true_states,
    wait_until_idle,
)
from tests.docker.project import Project
from tests.docker.serving import serving
from tests.docker.writers import burst, line, share
from tests.support.sample import FULL

pytestmark = pytest.mark.docker

# Half of the commits unless run in full.
COMMITS, WRITERS = 60, 8


@pytest.mark.parametrize("mode", ["superseded", pytest.param("parallel", marks=pytest.mark.long)])
def test_a_burst_of_commits(project: Project, mode: str) -> None:
    """With eight writers no commit is lost, deployments neither overlap nor go back, and the last commit is active."""
    project.configure(("name: shop\n", f"name: shop\nexecution_mode: {mode}\n"))
    count = WRITERS if mode == "parallel" else COMMITS if FULL else COMMITS // 2
    bare, file = share(project)
    begin = line(bare)
    with serving(project, str(file)) as served, DockerEventRecorder(project.home) as witness:
        served.await_run(1)
        with project.load() as load:
            commits = burst(bare, project.directory.parent, count, WRITERS)
            wait_until_idle(project, commits[-1])
            assert load.stop().failed == 0
        assert len(commits) == len(begin) + count
        assert_each_has_a_run(project, commits[len(begin) - 1 :])
        assert assert_deployed_in_order(project, commits) > 1
        assert_last_is_deployed(project, bare, commits[-1])
        assert_true_states(project)
        assert_no_orphans(project)
        assert_sound(project.home)
    assert witness.most_releases_at_once() == 2
