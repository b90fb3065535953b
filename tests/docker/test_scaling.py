"""Auto scaling in a daemon, on a real engine and under load."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from pipeline.balancer.model import TargetState
from pipeline.balancer.planes import open_balancer
from tests.docker.project import DEADLINE, Project, until
from tests.docker.serving import serving

# 30 requests per second need more than three replicas, so that a slow start of the load does not matter.
POLICY = "scaling: {min: 1, max: 3, scale_in: disabled, target: {requests_per_target: 500}}"
RATE = 30


def serves(project: Project, count: int) -> bool:
    """Return whether exactly so many replicas run and receive requests."""
    states = [health.state for health in project.targets()]
    return len(project.containers()) == count and states == [TargetState.HEALTHY] * count


def test_load_adds_replicas(project: Project) -> None:
    """The number outlives the daemon, and the next deployment takes it. A number by hand has the same bounds."""
    project.configure(("replicas: 2", POLICY))
    project.commit("1")
    with serving(project) as served:
        served.await_run(1)
        assert serves(project, 1)
        with project.load(RATE) as load:
            until(lambda: serves(project, 3), "three replicas")
            served.kill()
            project.commit("2")
            project.pipeline("run")
            project.assert_serving(release=2, replicas=3)
            report = load.stop()
    assert report.failed == 0, report.failures
    assert [run.kind for run in served.runs()] == ["run", "run"]
    events = served.events("scaling.out")
    assert (events[0].fields["before"], events[-1].fields["replicas"]) == (1, 3)
    error = project.pipeline("scale", "web=5", code=2).err
    assert "web must have from 1 to 3 replicas, the bounds of its scaling now, got 5" in error
    (found,) = json.loads(project.pipeline("status", "--json").out)["scaling"]
    assert (found["service"], found["wanted"], found["min"], found["max"]) == ("web", 3, 1, 3)
    assert found["decision"]["reason"].startswith("requests_per_target: ")


@pytest.mark.long
def test_less_load_removes_replicas_without_a_loss(project: Project) -> None:
    """Each is drained first. Meanwhile, the load goes on."""
    policy = POLICY.replace("scale_in: disabled", "scale_in_cooldown: 0s")
    project.configure(("replicas: 2", f"replicas: 3\n  {policy}"))
    project.commit("1")
    with serving(project) as served:
        served.await_run(1)
        with project.load(RATE / 6) as load:
            until(lambda: serves(project, 1), "one replica")
            report = load.stop()
    assert report.failed == 0, report.failures
    assert served.events("scaling.in")[0].fields["before"] == 3


def request(project: Project) -> tuple[int, str]:
    """Return status and body of a response, which may be long in coming."""
    answer = requests.get(f"http://127.0.0.1:{project.port}/", timeout=DEADLINE)
    return answer.status_code, answer.text


def test_the_first_request_starts_a_container(project: Project) -> None:
    """It is held meanwhile. One that arrives while no daemon runs is answered as soon as one runs again."""
    project.configure(("replicas: 2", "scaling: {min: 0, max: 2, idle_time: 1d}"))
    project.commit("1")
    with serving(project) as served, ThreadPoolExecutor() as pool:
        served.await_run(1)
        assert serves(project, 1)
        served.scale_to_zero()
        assert "scaling web: scaled to zero, 0 to 2" in project.pipeline("status").out
        assert request(project)[0] == 200
        assert serves(project, 1)
        served.scale_to_zero()
        served.kill()
        early = pool.submit(request, project)
        balancer = open_balancer(project.home.balancer)
        until(lambda: balancer.held_requests(project.name, "web"), "the request is held")
        served.start()
        status, text = early.result(DEADLINE)
        assert (status, text.split(" on ")[0]) == (200, "sample-app 1")
    reasons = [event.fields["reason"] for event in served.events("scaling.out")]
    assert reasons == ["the first request", "the first request"]
