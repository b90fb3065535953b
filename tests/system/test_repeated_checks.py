"""HAProxy's own check of a configuration, which is left out if it cannot find a fault that it did not find before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.balancer.haproxy import process
from pipeline.balancer.haproxy.plane import HAProxyPlane
from pipeline.balancer.model import Declaration
from pipeline.balancer.registry import Registry
from pipeline.balancer.wanted import plane_config

PORT = 18081
FORWARD = {"forward": "web"}


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The checks that HAProxy has made."""
    made: list[Path] = []
    check: Callable[..., str | None] = process.check

    def counted(directory: Path, files: dict[str, str]) -> str | None:
        made.append(directory)
        return check(directory, files)

    monkeypatch.setattr("pipeline.balancer.haproxy.process.check", counted)
    return made


def rule(priority: int, path: str, action: dict[str, Any] = FORWARD) -> dict[str, Any]:
    return {"priority": priority, "conditions": [{"path_pattern": [path]}], "action": action}


def checked(plane: HAProxyPlane, *rules: dict[str, Any]) -> str | None:
    listener = {"port": PORT, "rules": list(rules), "default_action": FORWARD}
    declaration = {"target_groups": {"web": {"port": 80}}, "load_balancers": {"edge": {"listeners": [listener]}}}
    return plane.check(plane_config(Registry().declare("shop", Declaration.model_validate(declaration))))


def test_a_rule_that_changes_only_maps_is_not_checked_again(tmp_path: Path, checks: list[Path]) -> None:
    """One more path that is forwarded to a known group is an entry of a map."""
    plane = HAProxyPlane(tmp_path)
    assert checked(plane, rule(1, "/a/*")) is None
    assert checked(plane, rule(1, "/a/*"), rule(2, "/b/*")) is None
    assert len(checks) == 1


def test_a_rule_that_changes_lines_is_checked(tmp_path: Path, checks: list[Path]) -> None:
    """A redirect is a section of the configuration, and another form of path a line."""
    plane = HAProxyPlane(tmp_path)
    redirect = {"redirect": {"protocol": "HTTPS", "status_code": "HTTP_301"}}
    for rules in ([rule(1, "/a/*")], [rule(1, "/a/*"), rule(2, "/b", redirect)], [rule(1, "/a/*/b")]):
        assert checked(plane, *rules) is None
    assert len(checks) == 3


def test_a_refused_configuration_is_checked_again(
    tmp_path: Path, checks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what HAProxy has accepted is remembered."""
    plane = HAProxyPlane(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.balancer.haproxy.process.check", lambda *_: "a fault")
        assert checked(plane, rule(1, "/a/*")) == "a fault"
    assert checked(plane, rule(1, "/a/*")) is None
    assert len(checks) == 1
