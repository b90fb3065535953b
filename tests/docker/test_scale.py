"""`pipeline scale` and `pipeline restart`, and the output that removed containers leave."""

from __future__ import annotations

import json

from tests.docker.project import Project


def test_scale_and_restart_lose_nothing(service: Project) -> None:
    """The number lasts until the file changes it, a restart keeps the release, and all output is kept."""
    first = {each.name for each in service.containers()}
    with service.load() as load:
        service.pipeline("scale", "web=3")
        service.assert_serving(release=1, replicas=3)
        before = {each.name for each in service.containers()}
        assert first < before
        service.pipeline("restart")
        service.assert_serving(release=1, replicas=3)
        after = {each.name for each in service.containers()}
        assert not before & after
        report = load.stop()
    assert report.failed == 0, report.failures

    lines = [json.loads(line) for line in service.pipeline("logs", "--app", "--json").out.splitlines()]
    assert {line["replica"] for line in lines} == before | after
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    assert service.pipeline("logs", "--app", "--release", "2").out == ""
    last = service.pipeline("logs", "--app", "--json", "--tail", "3").out.splitlines()
    assert list(map(json.loads, last)) == lines[-3:]

    service.commit("2")
    service.pipeline("run")
    service.assert_serving(release=2, replicas=3)
    service.configure(("replicas: 2", "replicas: 1"))
    service.commit("3")
    service.pipeline("run")
    service.assert_serving(release=3, replicas=1)
    assert "must be a number of replicas" in service.pipeline("scale", "web=0", code=2).err
    assert "has no service worker" in service.pipeline("restart", "worker", code=2).err
