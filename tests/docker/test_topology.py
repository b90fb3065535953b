"""The page Topology while containers run: what the engine and HAProxy report reaches an open page."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.docker.docker_cli import docker
from tests.docker.project import Project
from tests.docker.serving import serving
from tests.support.web import Browser

pytestmark = pytest.mark.docker


def logged_in(project: Project) -> Browser:
    """Return a browser that has used a link of `pipeline web login`."""
    url = urlsplit(json.loads(project.pipeline("web", "login", "--json").out)["url"])
    assert url.port is not None
    browser = Browser(url.port)
    assert browser.post("/login", {"link": parse_qs(url.query)["link"][0]}).status == 303
    return browser


def test_a_killed_container_is_told_and_replaced(project: Project) -> None:
    """An open page says so as soon as the engine reports it, and shows when all targets are healthy again."""
    with serving(project, "--web", "127.0.0.1:0") as served:
        served.await_run(1)
        browser = logged_in(project)
        with browser.follow(browser.live("/topology")) as events:
            victim = project.targets()[0].target.id
            docker("kill", victim)
            told = next(message for message in events if f"{victim} exited with code 137" in message)
            assert 'hx-target="#news"' in told
            assert any("Targets: 2 healthy." in message for message in events)
        report = json.loads(project.pipeline("balancer", "--json").out)
        states = [target["state"] for target in report["target_groups"][f"{project.name}.web"]]
        assert states == ["healthy", "healthy"]
