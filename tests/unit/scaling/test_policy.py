"""Policies in files and options: what is valid, and the exact errors."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.config.scaling_policy import policy_from_options, read_policy
from pipeline.store.records import MAX_REPLICAS

GOOD = """\
scaling:
  min: 2
  max: 10
  target: {requests_per_target: 600, response_time_p90: 300ms, cpu: 60, connections: 20}
  scale_out_cooldown: 30s
  scale_in_cooldown: 10m
  scale_in: disabled
  schedule:
    - {cron: "0 8 * * 1-5", min: 4, max: 20}
    - {cron: "0 20 * * *", min: 2, max: 10}
"""
METRICS = "requests_per_target, response_time_p90, cpu, connections"


def written(folder: Path, text: str) -> Path:
    """Write a file with a policy."""
    path = folder / "policy.yaml"
    path.write_text(text)
    return path


def test_a_policy(tmp_path: Path) -> None:
    """Every key is read."""
    found = read_policy(written(tmp_path, GOOD))
    assert (found.min, found.max, found.scale_in) == (2, 10, "disabled")
    assert found.target is not None
    assert found.target.response_time_p90 == timedelta(milliseconds=300)
    assert (found.scale_out_cooldown, found.scale_in_cooldown) == (timedelta(seconds=30), timedelta(minutes=10))
    assert [action.max for action in found.schedule] == [20, 10]


def test_the_defaults(tmp_path: Path) -> None:
    """Only max and a target are required."""
    found = read_policy(written(tmp_path, "scaling: {max: 3, target: {cpu: 50}}"))
    assert (found.min, found.scale_in) == (1, "enabled")
    assert (found.scale_out_cooldown, found.scale_in_cooldown) == (timedelta(seconds=15), timedelta(minutes=5))


@pytest.mark.parametrize(
    ("right", "wrong", "error"),
    [
        ("  min: 2\n", "  min: -1\n", "2:8: scaling.min: must be at least 0, got -1"),
        ("  min: 2\n", "  min: 11\n", "2:8: scaling.min: must be at most max, which is 10, got 11"),
        ("  min: 2\n", "  min: true\n", "2:8: scaling.min: must be a whole number, got true"),
        ("  max: 10\n", "  max: 0\n", "3:8: scaling.max: must be at least 1, got 0"),
        ("  max: 10\n", "  max: 501\n", "3:8: scaling.max: must be at most 500, got 501"),
        ("  max: 10\n", "", "1:1: scaling.max: is missing (The largest number of replicas)"),
        ("cpu: 60", "cpu: 0", "4:69: scaling.target.cpu: must be at least 1, got 0"),
        ("cpu: 60", "cpu: 101", "4:69: scaling.target.cpu: must be at most 100, got 101"),
        ("cpu: 60", "cpu: 60 %", "4:69: scaling.target.cpu: must be a number, got '60 %'"),
        ("cpu: 60", "cpu: true", "4:69: scaling.target.cpu: must be a number, got true"),
        (
            "connections: 20",
            "connection: 20",
            "4:73: scaling.target.connection: unknown key (did you mean connections?)",
        ),
        (
            "response_time_p90: 300ms",
            "response_time_p90: 300",
            "4:57: scaling.target.response_time_p90: 300 is not a valid duration; write 300ms, 300s, 300m or 300h",
        ),
        (
            "{requests_per_target: 600, response_time_p90: 300ms, cpu: 60, connections: 20}",
            "{}",
            f"4:11: scaling.target: at least one of {METRICS} is required",
        ),
        ("cooldown: 30s", "cooldown: 2d", "5:23: scaling.scale_out_cooldown: must be between 0s and 1d"),
        ("p90: 300ms", "p90: 0ms", "4:57: scaling.target.response_time_p90: must be between 1ms and 1d"),
        ("scale_in: disabled", "scale_in: off", "7:13: scaling.scale_in: must be enabled or disabled, got 'off'"),
        (
            '"0 8 * * 1-5"',
            '"0 8 * *"',
            "9:14: scaling.schedule[0].cron: '0 8 * *' is not a valid cron expression (Wrong number of fields); write "
            "five fields: 0 4 * * *",
        ),
        (
            ", min: 4, max: 20}",
            "}",
            "9:14: scaling.schedule[0].cron: the action changes nothing; set min, max or both",
        ),
        (
            "min: 4, max: 20",
            "min: 21, max: 20",
            "9:34: scaling.schedule[0].min: must be at most max, which is 20, got 21",
        ),
        (
            "min: 4, max: 20",
            "min: 11",
            "9:34: scaling.schedule[0].min: must be at most 10, the smallest max that may be in force then, got 11",
        ),
        (
            "min: 2, max: 10}",
            "max: 3}",
            "10:33: scaling.schedule[1].max: must be at least 4, the largest min that may be in force then, got 3",
        ),
    ],
)
def test_mistakes(tmp_path: Path, right: str, wrong: str, error: str) -> None:
    """Each mistake has its place and what to write instead."""
    assert GOOD.count(right) == 1
    path = written(tmp_path, GOOD.replace(right, wrong))
    with pytest.raises(ConfigError) as raised:
        read_policy(path)
    assert str(raised.value) == f"{path}:{error}"


def test_a_policy_that_never_changes_anything(tmp_path: Path) -> None:
    """Target or schedule is required."""
    path = written(tmp_path, "scaling: {max: 3}")
    with pytest.raises(ConfigError) as raised:
        read_policy(path)
    text = "is missing; without it and without schedule, the number never changes"
    assert str(raised.value) == f"{path}:1:1: scaling.target: {text}"


SERVICES = """\
name: shop
deploy:
  services:
    web: {target_group: web, scaling: {max: 3, target: {cpu: 50}}}
    api: {target_group: api, scaling: {max: 7, target: {cpu: 50}}}
    worker: {command: [work]}
"""


def test_the_policy_of_a_service(tmp_path: Path) -> None:
    """A pipeline.yaml may have a policy for each service."""
    path = written(tmp_path, SERVICES)
    assert read_policy(path, "api").max == 7
    assert read_policy(written(tmp_path, "deploy: {replicas: 2, scaling: {max: 4, target: {cpu: 50}}}")).max == 4


@pytest.mark.parametrize(
    ("text", "service", "error"),
    [
        (
            SERVICES,
            None,
            "has several policies: deploy.services.web.scaling, deploy.services.api.scaling\nchoose one of a service: "
            "--service",
        ),
        (SERVICES, "worker", ": the service worker has no scaling\nthose with one: web, api"),
        ("name: shop", "web", ": the service web has no scaling\nno service has one"),
        ("name: shop", None, "has no scaling\nadd scaling: {max: 10, target: {requests_per_target: 600}}"),
        (
            SERVICES.replace("max: 7", "max: 0"),
            "api",
            ":5:45: deploy.services.api.scaling.max: must be at least 1, got 0",
        ),
        ("scaling: 5", None, ":1:10: scaling: must be a mapping of keys, got 5 (write {max: 5, target: {cpu: 60%}})"),
        (
            "scaling: {max: 1, max: 2, target: {cpu: 5}}",
            None,
            ":1:19: scaling.max: duplicate key; the first is on line 1",
        ),
    ],
)
def test_mistakes_around_the_policy(tmp_path: Path, text: str, service: str | None, error: str) -> None:
    """A missing or ambiguous policy is an error that says what to do."""
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        read_policy(path, service)
    assert str(raised.value) == f"{path}{'' if error[0] == ':' else ' '}{error}"


def test_the_largest_number() -> None:
    """A policy can want as many replicas as `pipeline scale`, and no more."""
    assert policy_from_options({"max": MAX_REPLICAS, "target": {"cpu": 50.0}}).max == MAX_REPLICAS
    with pytest.raises(ConfigError):
        policy_from_options({"max": MAX_REPLICAS + 1, "target": {"cpu": 50.0}})


def test_options() -> None:
    """A policy may be given by options, with the same errors."""
    assert policy_from_options({"max": 3, "target": {"cpu": 50.0}}).max == 3
    with pytest.raises(ConfigError) as raised:
        policy_from_options({"min": 4, "max": 0, "target": {"cpus": 50.0, "connections": 0}})
    assert str(raised.value).splitlines() == [
        "max: must be at least 1, got 0",
        "target.connections: must be greater than 0, got 0",
        "target.cpus: unknown key (did you mean cpu?)",
    ]
