"""`rollback_on` of a service: what is stored of it, and conditions that could never decide."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.config.load import load
from pipeline.config.models import Pipeline

RATIO = "{metric: http_5xx_ratio, above: 1%}"
WORSE = "{metric: http_5xx_ratio, worse_than_previous: true}"
FILE = """\
name: shop
deploy:
  target_group: web
  strategy: {strategy}
  rollback_on: {conditions}
balancer:
  target_groups: {{web: {{port: 80}}}}
  load_balancers: {{edge: {{listeners: [{{port: 8080, default_action: {{forward: web}}}}]}}}}
"""
SERVICES = """\
name: shop
deploy:
  strategy: canary
  rollback_on: [{ratio}]
  services:
    web: {{target_group: web}}
    worker: {worker}
balancer:
  target_groups: {{web: {{port: 80}}}}
  load_balancers: {{edge: {{listeners: [{{port: 8080, default_action: {{forward: web}}}}]}}}}
"""
NETWORK = """\
name: shop
deploy:
  target_group: web
  strategy: {{type: rolling, bake_time: 5m}}
  rollback_on: [{condition}]
balancer:
  target_groups: {{web: {{port: 80, protocol: TCP}}}}
  load_balancers:
    edge: {{type: network, listeners: [{{port: 8080, protocol: TCP, default_action: {{forward: web}}}}]}}
"""


def loaded(text: str, folder: Path) -> Pipeline:
    path = folder / "pipeline.yaml"
    path.write_text(text)
    return load(path).pipeline


def error(text: str, folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(text, folder)
    (problem,) = caught.value.problems
    return problem.render("f").removeprefix("f:")


@pytest.mark.parametrize(
    ("strategy", "conditions"),
    [
        ("canary", f"[{WORSE}]"),
        ("linear", f"[{WORSE}, {{metric: response_time, slower_by: 10%}}]"),
        ("blue_green", f"[{RATIO}, {{metric: restarts, above: 0}}, {{command: [./check.sh]}}]"),
        ("{type: rolling, bake_time: 5m}", f"[{RATIO}]"),
        ("Canary10Percent5Minutes", f"{{warm_up: 1m, conditions: [{WORSE}]}}"),
    ],
)
def test_conditions_that_fit(strategy: str, conditions: str, tmp_path: Path) -> None:
    """Strategies with both releases at a time can compare them. The others have limits of the new one."""
    found = loaded(FILE.format(strategy=strategy, conditions=conditions), tmp_path).deploy.settings.rollback_on
    assert found is not None
    assert found.conditions


@pytest.mark.parametrize(
    ("strategy", "conditions", "expected"),
    [
        (
            "blue_green",
            f"[{RATIO}, {WORSE}]",
            "5:100: deploy.rollback_on[1].worse_than_previous: compares with the previous release, which gets no "
            "requests beside the new one with blue_green; use above, or strategy: canary or linear",
        ),
        (
            "{type: rolling, bake_time: 5m}",
            "[{metric: p99, slower_by: 10%}]",
            "5:42: deploy.rollback_on[0].slower_by: compares with the previous release, which gets no requests beside "
            "the new one with rolling; use above, or strategy: canary or linear",
        ),
        (
            "all_at_once",
            f"[{RATIO}]",
            "5:16: deploy.rollback_on: needs a bake time, and that of all_at_once is 0s; write strategy: "
            "{type: blue_green, bake_time: 10m}",
        ),
        (
            "rolling",
            f"[{RATIO}]",
            "5:16: deploy.rollback_on: needs a bake time, and that of rolling is 0s; write strategy: "
            "{type: rolling, bake_time: 10m}",
        ),
        (
            "{type: linear, step_bake_time: 0s}",
            f"[{RATIO}]",
            "5:16: deploy.rollback_on: needs a bake time, and that of linear is 0s; write strategy: "
            "{type: linear, step_bake_time: 10m}",
        ),
        (
            "{type: canary, bake_time: 30s}",
            "{warm_up: 30s, conditions: [{metric: p99, above: 1s}]}",
            "5:26: deploy.rollback_on.warm_up: must be shorter than the bake time of 30s",
        ),
        (
            "canary",
            f"{{warm_up: 2h, conditions: [{RATIO}]}}",
            "5:26: deploy.rollback_on.warm_up: must be at most 1 hour, got 2h",
        ),
    ],
)
def test_conditions_that_could_never_decide(strategy: str, conditions: str, expected: str, tmp_path: Path) -> None:
    """A condition that has no time or no release to compare with is refused."""
    assert error(FILE.format(strategy=strategy, conditions=conditions), tmp_path) == expected


def test_a_short_bake_time_without_response_times(tmp_path: Path) -> None:
    """The warm-up concerns response times only."""
    assert loaded(FILE.format(strategy="{type: canary, bake_time: 5s}", conditions=f"[{WORSE}]"), tmp_path)


def test_services(tmp_path: Path) -> None:
    """The conditions of `deploy` are those of services with a target group. Another one may have its own."""
    found = loaded(SERVICES.format(ratio=RATIO, worker="{}"), tmp_path).deploy.all_services()
    assert found["web"].rollback_on is not None
    assert found["worker"].rollback_on is None
    own = "{strategy: {type: rolling, bake_time: 1m}, rollback_on: [{metric: restarts, above: 0}]}"
    found = loaded(SERVICES.format(ratio=RATIO, worker=own), tmp_path).deploy.all_services()
    assert found["worker"].rollback_on is not None


def test_a_service_without_a_target_group(tmp_path: Path) -> None:
    """Without requests, there is nothing to measure of them."""
    own = f"{{strategy: {{type: rolling, bake_time: 1m}}, rollback_on: [{RATIO}]}}"
    assert error(SERVICES.format(ratio=RATIO, worker=own), tmp_path) == (
        "7:79: deploy.services.worker.rollback_on[0].metric: http_5xx_ratio requires a target_group; use restarts, "
        "command or promql"
    )


def test_a_job(tmp_path: Path) -> None:
    """A deployment replaces no container of a job."""
    own = '{schedule: "0 3 * * *", rollback_on: [{metric: restarts, above: 0}]}'
    assert error(SERVICES.format(ratio=RATIO, worker=own), tmp_path).endswith(
        "rollback_on: does not fit a job (a service with schedule): a deployment starts no container of it"
    )


def test_a_network_group(tmp_path: Path) -> None:
    """Connections are not logged, so nothing is known of their times and errors."""
    assert error(NETWORK.format(condition="{metric: p99, above: 1s}"), tmp_path) == (
        "5:26: deploy.rollback_on[0].metric: p99 is not known for web with protocol TCP, because its connections are "
        "not logged; use unhealthy_targets, restarts, command or promql"
    )
    assert loaded(NETWORK.format(condition="{metric: unhealthy_targets, above: 0}"), tmp_path)


def test_stored_form(tmp_path: Path) -> None:
    """It is left out of a stored release unless it is set, and is not part of the hash of containers."""
    settings = loaded(FILE.format(strategy="canary", conditions=f"[{WORSE}]"), tmp_path).deploy.settings
    bare = loaded(FILE.replace("  rollback_on: {conditions}\n", "").format(strategy="canary"), tmp_path).deploy.settings
    assert "rollback_on" not in bare.model_dump(mode="json")
    assert type(settings).model_validate(settings.model_dump(mode="json")) == settings
    assert settings.rollback_on is not None
    assert settings.rollback_on.warm_up == timedelta(seconds=10)
