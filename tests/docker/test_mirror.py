"""Copies of requests to a new release that is healthy, before it gets any request of a client."""

from __future__ import annotations

import pytest

from pipeline.balancer.access import target_group_name
from pipeline.balancer.alternate import alternate_name
from pipeline.balancer.planes import open_balancer
from tests.docker.project import Project, until
from tests.docker.shifting_project import assert_at_home, assert_lossless, events, share, with_strategy
from tests.support.paths import ROOT

pytestmark = pytest.mark.docker

# Release 2 passes its tests and its health check, and answers every other GET of its containers with 500.
GOOD, BAD = 'return 200, f"sample-app', 'return (500 if "FAILS" in os.environ else 200), f"sample-app'
MIRROR = '{type: blue_green, mirror: {percent: 100, duration: 1h}}\n  environment: {FAILS: "yes"}'


def test_a_release_that_fails_copies_gets_no_request(service: Project) -> None:
    """It is rolled back by its copies alone. They are not in the access log, and no client sees an error."""
    application = (ROOT / "sample_app/app.py").read_text()
    assert GOOD in application
    service.write("app.py", application.replace(GOOD, BAD))
    service.commit("2")
    with_strategy(service, MIRROR)
    with service.load() as load:
        done = service.pipeline("run", code=4)
        report = load.stop()
    assert "alarm: copies: http_5xx_ratio worse_than_previous: 100.0% (" in done.err + done.out
    assert "release 1 is active again" in done.err + done.out
    assert_lossless(report)
    assert_at_home(service, release=1)
    assert events(service, "shift.step") == []
    until(lambda: len(logged(service)) >= report.sent, "the last line of the log")
    assert logged(service) == [target_group_name(service.name, "web")] * report.sent


def logged(project: Project) -> list[str]:
    """Return the target group of each request in the access log."""
    groups = [target_group_name(project.name, name) for name in ("web", alternate_name("web"))]
    return [request.group for request in open_balancer(project.home.balancer).access_log().forwarded(groups)]


@pytest.mark.long
def test_killed_among_the_copies_and_continued(service: Project) -> None:
    """The next run of the release goes on with the copies, and promotes a good release."""
    with_strategy(service, "{type: canary, percent: 20, bake_time: 1s, mirror: {percent: 50, duration: 3s}}")
    service.commit("2")
    with service.load() as load:
        service.crash("shift.mirroring", "run")
        assert share(service) == 0
        output = service.pipeline("run").out
        report = load.stop()
    assert_lossless(report)
    assert "continuing the deployment" in output
    assert "web of release 2 gets no more copies: class of status differs in 0.0% (0 of " in output
    assert_at_home(service, release=2)
    assert [fields["share"] for fields in events(service, "shift.step")] == [20, 100]
