"""A canary whose containers are healthy, and whose responses are not."""

from __future__ import annotations

import json

import pytest

from pipeline.engine.labels import LABEL_RELEASE
from tests.docker.docker_cli import docker
from tests.docker.project import Project, until
from tests.support.paths import ROOT

pytestmark = pytest.mark.docker

SETTINGS = """\
  deploy_timeout: 20s
  strategy: {type: canary, percent: 50, bake_time: 1h}
  rollback_on:
    - {metric: http_5xx_ratio, worse_than_previous: true}
    - {metric: restarts, above: 0}
"""
GREETING = 'return 200, f"sample-app'
# The application fails from the moment at which the test makes a file in its container.
FAILING = 'return (500 if Path("/tmp/fails").exists() else 200), f"sample-app'


def states(project: Project) -> list[str]:
    """Return the state of each condition, as another process shows them."""
    return [alarm["state"] for alarm in json.loads(project.pipeline("status", "--json").out)["alarms"]]


def test_a_canary_with_errors_is_rolled_back(service: Project) -> None:
    """The status shows what the alarms need, and errors of the new release alone roll it back, with their numbers."""
    application = (ROOT / "sample_app/app.py").read_text()
    assert GREETING in application
    service.write("app.py", application.replace(GREETING, FAILING))
    service.commit("2")
    service.configure(("  deploy_timeout: 20s\n", SETTINGS))
    with service.load() as load:
        running = service.start("run")
        until(lambda: states(service) == ["OK", "OK"], "both releases have enough requests")
        assert "alarm of web: OK, http_5xx_ratio worse_than_previous: 0.0% (0 of " in service.pipeline("status").out
        for container in service.containers():
            if container.labels[LABEL_RELEASE] == "2":
                docker("exec", container.name, "touch", "/tmp/fails")
        done = service.finish(running, code=4)
        load.stop()
    assert "http_5xx_ratio " in done.err + done.out
    assert "an alarm needs 100 at 99% confidence" in done.err + done.out
    assert "release 1 is active again" in done.err + done.out
    service.assert_serving(release=1)
    assert "alarm of" not in service.pipeline("status").out
