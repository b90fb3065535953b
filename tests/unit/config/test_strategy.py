"""`deploy.strategy`: names of ECS and CodeDeploy, steps, what a release stores, and mistakes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.errors import ConfigError
from pipeline.config.secrets import Secrets
from pipeline.config.service import Rolling, ServiceSettings
from pipeline.config.service_spec import ServiceSpec
from pipeline.config.strategy import AnyStrategy, LinearStrategy, ShiftStep
from tests.support.pipeline_yaml import GOOD
from tests.unit.config.loads import Loads

MINUTE = timedelta(minutes=1)
ZERO = timedelta(0)


def strategy(written: Any) -> AnyStrategy:
    """Return a strategy as it is read."""
    found = ServiceSettings.model_validate({"target_group": "web", "strategy": written}).strategy
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (("rolling", "ROLLING"), []),
        (("blue_green", "BLUE_GREEN", {"type": "BLUE_GREEN"}), [(100, 10 * MINUTE)]),
        (("canary", "CANARY", {"type": "canary"}), [(5, 10 * MINUTE), (100, ZERO)]),
        (("linear", "LINEAR"), [*((10 * n, 6 * MINUTE) for n in range(1, 10)), (100, ZERO)]),
        (("all_at_once", "AllAtOnce", "ECSAllAtOnce", "CodeDeployDefault.LambdaAllAtOnce"), [(100, ZERO)]),
        (
            (
                "Canary10Percent5Minutes",
                "ECSCanary10Percent5Minutes",
                "CodeDeployDefault.ECSCanary10Percent5Minutes",
                "CodeDeployDefault.LambdaCanary10Percent5Minutes",
                {"type": "canary", "percent": 10, "bake_time": "5m"},
            ),
            [(10, 5 * MINUTE), (100, ZERO)],
        ),
        (
            (
                "Linear10PercentEvery1Minute",
                "Linear10PercentEvery1Minutes",
                "CodeDeployDefault.ECSLinear10PercentEvery1Minutes",
                {"type": "linear", "step_percent": 10, "step_bake_time": "1m"},
            ),
            [*((10 * n, MINUTE) for n in range(1, 10)), (100, ZERO)],
        ),
        (
            ({"type": "linear", "step_percent": 33.3, "step_bake_time": "1m", "bake_time": "2m"},),
            [(33.3, MINUTE), (66.6, MINUTE), (99.9, MINUTE), (100, 2 * MINUTE)],
        ),
        (({"type": "linear", "step_percent": 100, "bake_time": "2m"},), [(100, 2 * MINUTE)]),
        (({"type": "canary", "percent": 0.1, "bake_time": "0s"},), [(0.1, ZERO), (100, ZERO)]),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else "",
)
def test_the_steps_of_each_name(names: tuple[Any, ...], steps: list[tuple[float, timedelta]]) -> None:
    """Each name of a strategy has the steps of ECS or CodeDeploy."""
    for name in names:
        found = strategy(name)
        assert found.steps() == tuple(ShiftStep(percent, bake_time) for percent, bake_time in steps), name
        assert found.is_shifting == bool(steps)


@given(st.integers(30, 1000))
def test_linear_steps_are_equal_and_end_at_all(parts: int) -> None:
    """Every step adds the same share, but the last one, which adds at most as much."""
    shares = [step.percent for step in LinearStrategy(step_percent=parts / 10).steps()]
    assert [round(share * 10) for share in shares] == [*range(parts, 1000, parts), 1000]


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("OneAtATime", Rolling(max_surge=1, max_unavailable=0)),
        ("CodeDeployDefault.HalfAtATime", Rolling(max_surge="50%", max_unavailable=0)),
    ],
)
def test_codedeploys_rolling_names_set_the_limits(name: str, limits: Rolling) -> None:
    """`OneAtATime` and `HalfAtATime` are rolling deployments of one and of half of the replicas at a time."""
    found = ServiceSettings.model_validate({"strategy": name})
    assert found.rolling == limits
    assert found.strategy is not None
    assert found.strategy.type == "rolling"
    assert ServiceSettings.model_validate_json(found.model_dump_json()) == found


def test_a_release_without_a_strategy_is_stored_as_before() -> None:
    """Stored releases and the hash of containers do not change."""
    plain = ServiceSettings.model_validate({"target_group": "web"})
    assert "strategy" not in json.loads(plain.model_dump_json())
    moved = ServiceSettings.model_validate({"target_group": "web", "strategy": "canary"})
    assert ServiceSettings.model_validate_json(moved.model_dump_json()) == moved
    one, other = (ServiceSpec("web", "sha256:1", settings, None).template(Secrets()) for settings in (plain, moved))
    assert one == other, "the strategy is no reason to replace containers"


SERVICES = """\
name: shop
deploy:
  strategy: blue_green
  services:
    web: {target_group: web}
    api: {target_group: api, strategy: Canary10Percent5Minutes}
    worker: {}
    nightly: {schedule: "0 3 * * *"}
balancer:
  target_groups: {web: {port: 8080}, api: {port: 8081}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: [web, api]}}]}}
"""


def test_the_strategy_of_deploy_is_that_of_services_with_a_target_group(loads: Loads) -> None:
    """A worker and a job have no traffic to move, so they keep the rolling strategy."""
    services = loads(SERVICES).pipeline.deploy.all_services()
    found = {name: service.strategy.type if service.strategy else None for name, service in services.items()}
    assert found == {"web": "blue_green", "api": "canary", "worker": None, "nightly": None}


UNKNOWN = (
    "is not a strategy; write one of rolling, blue_green, canary, linear, all_at_once, or a name of CodeDeploy such as "
    "Canary10Percent5Minutes, Linear10PercentEvery1Minute, AllAtOnce, OneAtATime or HalfAtATime"
)


@pytest.mark.parametrize(
    ("written", "error"),
    [
        ("strategy: bluegreen", "9:13: deploy.strategy: 'bluegreen' is not a strategy; did you mean blue_green?"),
        ("strategy: Canary10PercentEvery5Minutes", f"9:13: deploy.strategy: 'Canary10PercentEvery5Minutes' {UNKNOWN}"),
        ("strategy: Linear10Percent5Minutes", f"9:13: deploy.strategy: 'Linear10Percent5Minutes' {UNKNOWN}"),
        ("strategy: 5", "9:13: deploy.strategy: must be a name such as blue_green, or a mapping with its type, got 5"),
        (
            "strategy: {percent: 5}",
            "9:13: deploy.strategy: needs a type: one of rolling, blue_green, canary, linear, all_at_once",
        ),
        (
            "strategy: {type: green}",
            "9:20: deploy.strategy.type: must be one of rolling, blue_green, canary, linear, all_at_once, got 'green' "
            "(did you mean blue_green?)",
        ),
        (
            "strategy: {type: blue_green, percent: 5}",
            "9:32: deploy.strategy.percent: unknown key (it is for type canary)",
        ),
        (
            "strategy: {type: canary, percnt: 5}",
            "9:28: deploy.strategy.percnt: unknown key (did you mean percent?)",
        ),
        (
            "strategy: {type: canary, percent: ten}",
            "9:37: deploy.strategy.percent: must be a percentage such as 10 or 0.5, with or without %, got 'ten'",
        ),
        (
            "strategy: {type: canary, percent: 0.25}",
            "9:37: deploy.strategy.percent: must be a multiple of 0.1, got 0.25",
        ),
        ("strategy: {type: canary, percent: 0}", "9:37: deploy.strategy.percent: must be at least 0.1, got 0"),
        ("strategy: Canary101Percent5Minutes", "9:13: deploy.strategy: must be at most 100, got 101"),
        (
            "strategy: {type: linear, step_percent: 2.9}",
            "9:42: deploy.strategy.step_percent: must be at least 3, got 2.9",
        ),
        (
            "strategy: {type: linear, step_bake_time: 25h}",
            "9:44: deploy.strategy.step_bake_time: must be between 0s and 24h",
        ),
        (
            "strategy: {type: rolling, test_traffic: {port: 8081}}",
            "9:29: deploy.strategy.test_traffic: unknown key (it is for type blue_green, canary, linear, all_at_once)",
        ),
        (
            "strategy: {type: canary, test_traffic: {}}",
            "9:28: deploy.strategy.test_traffic.header: exactly one of header and port is required, got 0",
        ),
        (
            "strategy: {type: canary, test_traffic: {header: {name: X-Release, value: 'a b'}}}",
            "9:76: deploy.strategy.test_traffic.header.value: must be 1 to 128 letters, digits and characters of "
            "._~=:-, got 'a b'",
        ),
        (
            "strategy: {type: canary, test_traffic: {port: 8000}}",
            "9:13: deploy.strategy: test_traffic.port 8000 is the port of a listener; use a port that no listener has",
        ),
        (
            "strategy: {type: rolling, mirror: {}}",
            "9:29: deploy.strategy.mirror: unknown key (it is for type blue_green, canary, linear, all_at_once)",
        ),
        (
            "strategy: {type: canary, mirror: true}",
            "9:36: deploy.strategy.mirror: must be a mapping of keys, got true (write {percent: 10, duration: 5m})",
        ),
        (
            "strategy: {type: canary, mirror: {percent: 0}}",
            "9:46: deploy.strategy.mirror.percent: must be at least 0.1, got 0",
        ),
        (
            "strategy: {type: canary, mirror: {percent: ten}}",
            "9:46: deploy.strategy.mirror.percent: must be a percentage such as 10 or 0.5, with or without %, "
            "got 'ten'",
        ),
        (
            "strategy: {type: canary, mirror: {duration: 0s}}",
            "9:47: deploy.strategy.mirror.duration: must be between 1s and 24h",
        ),
        (
            "strategy: {type: canary, mirror: {timeout: 2m}}",
            "9:46: deploy.strategy.mirror.timeout: must be between 100ms and 1m",
        ),
        (
            "strategy: {type: canary, mirror: {max_concurrency: 65}}",
            "9:54: deploy.strategy.mirror.max_concurrency: must be at most 64, got 65",
        ),
        (
            "strategy: {type: canary, mirror: {max_requests_per_second: 0}}",
            "9:62: deploy.strategy.mirror.max_requests_per_second: must be at least 1, got 0",
        ),
        (
            "strategy: {type: canary, mirror: {rate: 1}}",
            "9:37: deploy.strategy.mirror.rate: unknown key (known: duration, max_concurrency, "
            "max_requests_per_second, percent, timeout)",
        ),
        (
            "strategy: OneAtATime\n  rolling: {max_surge: 2}",
            "9:13: deploy.strategy: OneAtATime sets the limits of rolling; remove one of the two",
        ),
    ],
    ids=lambda value: value.partition(": ")[2] if value.startswith("strategy") else "",
)
def test_each_mistake_has_its_exact_error(loads: Loads, written: str, error: str) -> None:
    """One mistake gives one error, with position, key, reason and what to write."""
    with pytest.raises(ConfigError) as caught:
        loads(GOOD.replace("target_group: web", f"{written}\n  target_group: web", 1))
    assert caught.value.message == f"pipeline.yaml:{error}"


GROUPS = "  target_groups:\n"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "name: shop\ndeploy: {strategy: canary}\n",
            "2:20: deploy.strategy: canary needs a target_group, because it moves the traffic to a second one; write "
            "rolling",
        ),
        (
            SERVICES.replace("worker: {}", "worker: {strategy: linear}"),
            "7:24: deploy.services.worker.strategy: linear needs a target_group, because it moves the traffic to a "
            "second one; write rolling",
        ),
        (
            SERVICES.replace('{schedule: "0 3 * * *"}', '{schedule: "0 3 * * *", strategy: linear}'),
            "8:48: deploy.services.nightly.strategy: does not fit a job (a service with schedule): it gets no requests",
        ),
        (
            GOOD.replace(GROUPS, f"{GROUPS}    web-next: {{port: 81}}\n").replace(
                "replicas: 3", "strategy: blue_green"
            ),
            "10:13: deploy.strategy: target group web needs the name web-next for the next release, which another "
            "target group has; use another name for the target group",
        ),
        (
            GOOD.replace("replicas: 3", "strategy: blue_green").replace("web", "a" * 28),
            f"10:13: deploy.strategy: target group {'a' * 28} must have at most 27 characters, because the next "
            f"release needs {'a' * 28}-next; use another name for the target group",
        ),
        (
            SERVICES.replace("forward: [web, api]", "forward: [web, api, c, d]").replace(
                "api: {port: 8081}}", "api: {port: 8081}, c: {port: 1}, d: {port: 1}}"
            ),
            "6:40: deploy.services.api.strategy: a forward to api and 3 other target groups has no room for api-next: "
            "at most 5 are possible; forward to fewer target groups, or use strategy: rolling",
        ),
    ],
    ids=["no group", "a worker", "a job", "taken", "too long", "six groups"],
)
def test_a_strategy_that_does_not_fit(loads: Loads, text: str, error: str) -> None:
    """What cannot have a second target group is refused when the file is read."""
    with pytest.raises(ConfigError) as caught:
        loads(text)
    assert caught.value.message == f"pipeline.yaml:{error}"


def test_a_network_group_has_no_test_header(loads: Loads) -> None:
    """Connections have no headers, so test traffic needs a port."""
    text = GOOD.replace("replicas: 3", "strategy: {type: canary, test_traffic: {header: {name: X-A, value: b}}}")
    text = text.replace("port: 8080", "port: 8080\n      protocol: TCP").replace("{path: /up, interval: 1s}", "{}")
    text = text.replace("{port: 8000,", "{port: 8000, protocol: TCP,").replace(
        "    edge:\n", "    edge:\n      type: network\n"
    )
    with pytest.raises(ConfigError) as caught:
        loads(text)
    assert caught.value.message == (
        "pipeline.yaml:10:13: deploy.strategy: target group web has protocol TCP, whose connections have no headers; "
        "use test_traffic.port"
    )
    assert loads(text.replace("header: {name: X-A, value: b}", "port: 8081")).pipeline.deploy.strategy is not None


@pytest.mark.parametrize(
    ("forward", "place"),
    [
        ("[{target_group: web, alternate: {target_group: web, share: 10}}]", "19:71: {}[0].alternate"),
        (
            "{target_groups: [{target_group: web, alternate: {target_group: web, share: 1}}]}",
            "19:87: {}.target_groups[0].alternate",
        ),
    ],
)
def test_the_share_of_a_deployment_cannot_be_written(loads: Loads, forward: str, place: str) -> None:
    """What only a deployment sets is an unknown key, and no error proposes it."""
    with pytest.raises(ConfigError) as caught:
        loads(GOOD.replace("forward: web", f"forward: {forward}"))
    where = "balancer.load_balancers.edge.listeners[0].default_action.forward"
    assert caught.value.message == f"pipeline.yaml:{place.format(where)}: unknown key"
    with pytest.raises(ConfigError) as caught:
        loads(GOOD.replace("forward: web", f"forward: {forward.replace('alternate', 'alternat')}"))
    assert "alternate?" not in caught.value.message


MIRROR = GOOD.replace("replicas: 3", "strategy: {type: canary, mirror: {}}")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            MIRROR.replace("port: 8080", "port: 8080\n      protocol: TCP")
            .replace("{path: /up, interval: 1s}", "{}")
            .replace("{port: 8000,", "{port: 8000, protocol: TCP,")
            .replace("    edge:\n", "    edge:\n      type: network\n"),
            "copies HTTP requests, and target group web has connections; remove mirror",
        ),
        (
            MIRROR.replace("port: 8080", "port: 8080\n      protocol_version: HTTP2"),
            "copies requests of HTTP/1.1, and the targets of web get HTTP2; write protocol_version: HTTP1, or remove "
            "mirror",
        ),
        (
            MIRROR.replace("port: 8080", "port: 8080\n      target_type: lambda"),
            "copies HTTP requests, and the targets of web are functions; remove mirror",
        ),
        (
            MIRROR.replace(
                "default_action: {forward: web}",
                "default_action: {forward: web}, rules: [{priority: 7, conditions: [{path_pattern: [/v1/*]}], "
                "transforms: {url_rewrite: {regex: ^/v1, replace: ''}}, action: {forward: web}}]",
            ),
            "copies requests as clients sent them, and the rule with priority 7 rewrites those to web; remove "
            "transforms or mirror",
        ),
    ],
    ids=["network", "HTTP2", "functions", "transforms"],
)
def test_a_mirror_that_does_not_fit(loads: Loads, text: str, error: str) -> None:
    """Requests that the access log does not have as the targets got them cannot be copied."""
    with pytest.raises(ConfigError) as caught:
        loads(text)
    assert caught.value.message == f"pipeline.yaml:10:36: deploy.strategy.mirror: {error}"


def test_a_mirror_beside_rules_of_others(loads: Loads) -> None:
    """Only rules that forward to the target group of the service matter."""
    rules = (
        "rules: [{priority: 7, conditions: [{path_pattern: [/v1/*]}], action: {fixed_response: {status_code: 404}}, "
        "transforms: {url_rewrite: {regex: ^/v1, replace: ''}}}]"
    )
    text = MIRROR.replace("default_action: {forward: web}", f"default_action: {{forward: web}}, {rules}")
    found = loads(text).pipeline.deploy.strategy
    assert found is not None
    assert found.mirror is not None
    assert (found.mirror.percent, found.mirror.duration) == (10.0, 5 * MINUTE)


def test_a_release_without_a_mirror_is_stored_as_before() -> None:
    """Releases of earlier versions have no such key, and have the same settings as those without a mirror."""
    without = strategy("canary").model_dump(mode="json")
    assert list(without) == ["test_traffic", "type", "percent", "bake_time"]
    assert strategy(without) == strategy("canary")
    stored = strategy({"type": "canary", "mirror": {"percent": 2.5, "duration": "90s"}}).model_dump(mode="json")
    assert stored["mirror"] == {
        "percent": 2.5,
        "duration": "90s",
        "max_requests_per_second": 20,
        "max_concurrency": 8,
        "timeout": "10s",
    }
    assert strategy(stored).model_dump(mode="json") == stored
