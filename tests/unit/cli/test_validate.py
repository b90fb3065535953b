"""`pipeline validate` with what the balancer of this home has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration
from pipeline.base.home import Home
from pipeline.cli import status, validate
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.pipeline_yaml import MINIMAL
from tests.support.ports import free_port

_RULE = {"priority": 1, "conditions": [{"path_pattern": ["/a"]}], "action": {"forward": "web"}}


def declaration(listener: dict[str, Any]) -> Declaration:
    """Return a declaration with one listener."""
    return Declaration.model_validate(
        {"target_groups": {"web": {"port": 80}}, "load_balancers": {"edge": {"listeners": [listener]}}}
    )


@pytest.fixture
def balancer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Balancer:
    """Return a balancer with nothing declared. Commands open this one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    opened = Balancer(Home.locate().balancer, FakePlane())
    monkeypatch.setattr("pipeline.balancer.planes.open_balancer", lambda _: opened)
    return opened


def test_rules_without_a_listener_are_a_warning(balancer: Balancer) -> None:
    """Until another pipeline declares the port, a listener without a default action is said to receive nothing."""
    port = free_port()
    text = f"{{port: {port}, rules: [{{priority: 1, conditions: [{{path_pattern: [/a]}}], action: {{forward: web}}}}]}}"
    Path("pipeline.yaml").write_text(MINIMAL.replace("{port: 8000, default_action: {forward: web}}", text))
    said = f"warning: port {port} of load balancer edge of shop receives no requests"
    done = CliRunner().invoke(validate.command)
    assert (done.exit_code, said in done.output) == (0, True)
    balancer.apply("shop", declaration({"port": port, "rules": [_RULE]}))
    assert (
        f"port {port} of load balancer edge of shop receives no requests" in CliRunner().invoke(status.command).output
    )

    balancer.apply("other", declaration({"port": port, "default_action": {"fixed_response": {"status_code": 404}}}))
    assert "receives no requests" not in CliRunner().invoke(validate.command).output
    assert "receives no requests" not in CliRunner().invoke(status.command).output
    assert balancer.waiting_after("shop", declaration({"port": port, "rules": [_RULE]})) == []


def test_a_change_that_takes_the_listener_from_others_is_known_before(balancer: Balancer) -> None:
    """The rules of others that would receive nothing are named, for a withdrawal and for another port."""
    port = free_port()
    owned = {"port": port, "default_action": {"fixed_response": {"status_code": 404}}}
    balancer.apply("front", declaration(owned))
    balancer.apply("shop", declaration({"port": port, "rules": [_RULE]}))
    moved = declaration({**owned, "port": free_port()})
    assert [found.owner for found in balancer.waiting_after("front", None)] == ["shop"]
    assert [found.owner for found in balancer.waiting_after("front", moved)] == ["shop"]
    assert balancer.waiting_after("shop", None) == []
    balancer.withdraw("front")
    assert [found.port for found in balancer.waiting_listeners("shop")] == [port]
    # What was so before is no effect of a change.
    assert balancer.waiting_after("front", moved) == []


_SLOW = "HAProxy may give up on {} in a text of more than {} characters, and {}"
_HEAD = "warning: rule 7 on port 8000 of load balancer edge: "


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            {"conditions": [{"path_pattern": {"regex_values": ["(a+)+$"]}}]},
            ("(a+)+$", 23, "the rule does not apply then"),
        ),
        (
            {"transforms": {"url_rewrite": {"regex": "^/rw/(?:(a+)+!|.*)", "replace": "/public"}}},
            ("^/rw/(?:(a+)+!|.*)", 23, "nothing is rewritten then"),
        ),
        (
            {"transforms": {"host_header_rewrite": {"regex": "^(a?){30}!", "replace": "b.test"}}},
            ("^(a?){30}!", 3, "nothing is rewritten then"),
        ),
    ],
)
def test_an_expression_that_may_be_given_up_is_a_warning(
    rule: dict[str, Any], expected: tuple[str, int, str], balancer: Balancer
) -> None:
    """Conditions and both kinds of transforms are checked, and the warning says what happens then."""
    assert balancer.registry().is_empty
    listener = {"port": 8000, "rules": [{**_RULE, "priority": 7, **rule}], "default_action": {"forward": "web"}}
    text = MINIMAL.replace("{port: 8000, default_action: {forward: web}}", json.dumps(listener))
    Path("pipeline.yaml").write_text(text)
    assert _HEAD + _SLOW.format(*expected) in CliRunner().invoke(validate.command).output.splitlines()


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("logging: {driver: none}", "Docker keeps no output with the driver none"),
        ("logging: {driver: syslog, options: {cache-disabled: true}}", "Docker keeps no output with cache-disabled"),
        ("logging: {driver: syslog}", None),
        ("logging: {driver: local}", None),
        ("logging: {driver: journald, options: {cache-disabled: true}}", None),
    ],
)
def test_a_log_driver_that_keeps_nothing_is_a_warning(keys: str, why: str | None, balancer: Balancer) -> None:
    """The commands that show the output would show none."""
    assert balancer.registry().is_empty
    Path("pipeline.yaml").write_text(MINIMAL.replace("{target_group: web}", f"{{target_group: web, {keys}}}"))
    lines = CliRunner().invoke(validate.command).output.splitlines()
    lost = "so `pipeline logs --app` and the errors of failed containers show none"
    assert lines[1:] == ([f"warning: deploy.logging: {why}, {lost}"] if why else [])


def test_an_accessory_whose_output_is_lost_is_a_warning(balancer: Balancer) -> None:
    """Its own command would show none."""
    assert balancer.registry().is_empty
    accessories = "accessories: {db: {image: postgres, logging: {driver: none}}, cache: {image: redis}}\n"
    Path("pipeline.yaml").write_text(f"{MINIMAL.rstrip()}\n{accessories}")
    why = "Docker keeps no output with the driver none"
    lost = "so `pipeline accessory logs db` and the errors of failed containers show none"
    lines = CliRunner().invoke(validate.command).output.splitlines()
    assert lines[1:] == [f"warning: accessories.db.logging: {why}, {lost}"]
