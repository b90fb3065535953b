"""A value of the wrong form, or a name of another tool, gets an error that shows what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.alarms.condition import CountCondition, RatioCondition
from pipeline.balancer.model.alternate_group import HeaderMatch
from pipeline.balancer.model.alternate_group import TestTraffic as Traffic
from pipeline.base.errors import ConfigError
from pipeline.base.schema import Model
from pipeline.config.document import read_document
from pipeline.config.hooks import Hook, HttpCall
from pipeline.config.models import Build, Source
from pipeline.config.service import ServiceSettings
from pipeline.config.triggers import Triggers
from pipeline.scaling.policy import ScalingPolicy, ScalingTarget
from tests.unit.config.loads import Loads

HEAD = "name: shop\ndeploy:\n  target_group: web\n"
TAIL = """\
balancer:
  target_groups: {web: {port: 8080}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
"""
_ALARM = "{type: canary, percent: 10}\n  rollback_on: "
_EVENTS = "BeforeInstall, AfterInstall, AfterAllowTestTraffic, BeforeAllowTraffic and AfterAllowTraffic"


@pytest.mark.parametrize(
    ("written", "error"),
    [
        ("circuit_breaker: 5", "4:20: deploy.circuit_breaker: must be true or false, got 5 (write {threshold: 5})"),
        (
            "circuit_breaker: 20%",
            "4:20: deploy.circuit_breaker: must be true or false, got '20%' (write {threshold: 20%})",
        ),
        ("circuit_breaker: often", "4:20: deploy.circuit_breaker: must be true or false, got 'often'"),
        (
            "hooks: {BeforeInstall: [{pause: 1h}]}",
            "4:35: deploy.hooks.BeforeInstall[0].pause: must be true, with its time beside it, got '1h'; write pause: "
            "true, timeout: 1h",
        ),
        (
            "hooks: {BeforeInstall: ./check.sh}",
            "4:26: deploy.hooks.BeforeInstall: must be a list, got './check.sh' (write [{command: [./check.sh]}])",
        ),
        (
            "hooks: {BeforeInstall: [{command: ./check.sh --fast 'a b'}]}",
            "4:37: deploy.hooks.BeforeInstall[0].command: must be a list, got \"./check.sh --fast 'a b'\" (write "
            "[./check.sh, --fast, a b])",
        ),
        (
            "hooks: {BeforeInstall: [{command: it's}]}",
            "4:37: deploy.hooks.BeforeInstall[0].command: must be a list, got \"it's\" (write [it's])",
        ),
        (
            "hooks: [{pause: true}]",
            f"4:10: deploy.hooks: must be a mapping of keys, got a list (the keys are {_EVENTS})",
        ),
        ("hooks: {PRE_SCALE_UP: []}", "4:11: deploy.hooks.PRE_SCALE_UP: unknown key (write BeforeInstall)"),
        (
            "hooks: {POST_TEST_TRAFFIC_SHIFT: []}",
            "4:11: deploy.hooks.POST_TEST_TRAFFIC_SHIFT: unknown key (write AfterAllowTestTraffic)",
        ),
        ("hooks: {ValidateService: []}", "4:11: deploy.hooks.ValidateService: unknown key (write AfterInstall)"),
        (
            "hooks: {BeforeInstall: [{http: {url: 'http://h/', interval: 1s}}]}",
            "4:63: deploy.hooks.BeforeInstall[0].http.interval: requires retries, because it is the time between two "
            "calls",
        ),
        (
            "hooks: {BeforeInstall: [{command: [a], on_timeout: rollback}]}",
            "4:54: deploy.hooks.BeforeInstall[0].on_timeout: does not fit command; it is a key of pause",
        ),
        (
            "hooks: {BeforeInstall: [{pause: true, env_file: a.env}]}",
            "4:51: deploy.hooks.BeforeInstall[0].env_file: does not fit pause; it is a key of command",
        ),
        (
            "hooks: {BeforeInstall: [{http: 'http://h/', environment: {}}]}",
            "4:60: deploy.hooks.BeforeInstall[0].environment: does not fit http; it is a key of command",
        ),
        ("strategy: blue-green", "4:13: deploy.strategy: 'blue-green' is not a strategy; did you mean blue_green?"),
        ("strategy: RollingUpdate", "4:13: deploy.strategy: 'RollingUpdate' is not a strategy; did you mean rolling?"),
        (
            "strategy: {canary: {percent: 10}}",
            "4:13: deploy.strategy: needs a type; write {type: canary, percent: 10}",
        ),
        (
            "strategy: {type: Canary10Percent5Minutes}",
            "4:20: deploy.strategy.type: Canary10Percent5Minutes has no other keys; write strategy: "
            "Canary10Percent5Minutes",
        ),
        (
            "strategy: true",
            "4:13: deploy.strategy: must be a name such as blue_green, or a mapping with its type, got true",
        ),
        (
            "strategy: {type: blue_green, test_traffic: 8720}",
            "4:46: deploy.strategy.test_traffic: must be a mapping of keys, got 8720 (write {port: 8720})",
        ),
        (
            "strategy: {type: blue_green, test_traffic: {header: X-Next}}",
            "4:55: deploy.strategy.test_traffic.header: must be a mapping of keys, got 'X-Next' (write {name: "
            "X-Release, value: next})",
        ),
        (
            f"strategy: {_ALARM}{{confidence: 0.99, conditions: [{{metric: restarts, above: 0}}]}}",
            "5:29: deploy.rollback_on.confidence: 0.99 is not a valid percentage; write 99%",
        ),
        (
            f"strategy: {_ALARM}{{confidence: high, conditions: [{{metric: restarts, above: 0}}]}}",
            "5:29: deploy.rollback_on.confidence: must be between 50% and 99.99%, got 'high'",
        ),
        (
            f"strategy: {_ALARM}[{{metric: http_5xx_ratio, above: 0.05}}]",
            "5:49: deploy.rollback_on[0].above: 0.05 is not a valid percentage; write 5% or 0.05%",
        ),
        (
            f"strategy: {_ALARM}restarts",
            "5:16: deploy.rollback_on: must be a list, got 'restarts' (write [{metric: http_5xx_ratio, above: 1%}])",
        ),
        (
            f"strategy: {_ALARM}[{{above: 1%}}]",
            "5:17: deploy.rollback_on[0]: needs a metric, a command or promql; write metric: http_5xx_ratio, for "
            "example",
        ),
        (
            "scaling: {max: 5, target: cpu}",
            "4:29: deploy.scaling.target: must be a mapping of keys, got 'cpu' (write {cpu: 60%})",
        ),
        (
            "release_command: ./migrate.sh --all",
            "4:20: deploy.release_command: must be a mapping of keys, got './migrate.sh --all' (write {command: "
            "[./migrate.sh, --all]})",
        ),
        (
            "deploy_timeout: 30",
            "4:19: deploy.deploy_timeout: 30 is not a valid duration; write 30ms, 30s, 30m or 30h",
        ),
        ("deploy_timeout: 5 minutes", "4:19: deploy.deploy_timeout: '5 minutes' is not a valid duration; write 5m"),
        ("env: {A: b}", "4:3: deploy.env: unknown key (write environment)"),
        ("sidecar: true", "4:3: deploy.sidecar: unknown key (`pipeline schema --reference` lists the keys)"),
        (
            "services: [{web: {}}]",
            "4:13: deploy.services: must be a mapping of keys, got a list (write a name in place of each dash)",
        ),
        (
            "hooks: {BeforeInstall: [{http: 'localhost:8081/smoke'}]}",
            "4:34: deploy.hooks.BeforeInstall[0].http: 'localhost:8081/smoke' is not a valid URL; write "
            "http://localhost:8081/smoke",
        ),
        ("strategy: {canary: {steps: []}}", "4:13: deploy.strategy: needs a type; write {type: canary}"),
        (
            "scaling: {max: 5, target: {cpu: 0.6}}",
            "4:35: deploy.scaling.target.cpu: must be at least 1, got 0.6",
        ),
        ("approval: 1d", "4:13: deploy.approval: must be a mapping of keys, got '1d' (write {timeout: 1d})"),
    ],
)
def test_what_to_write_instead(written: str, error: str, loads: Loads) -> None:
    """The error has the value that was probably meant, or an example."""
    with pytest.raises(ConfigError) as caught:
        loads(f"{HEAD}  {written}\n{TAIL}")
    assert caught.value.message == f"pipeline.yaml:{error}"


@pytest.mark.parametrize(
    ("written", "errors"),
    [
        (
            "scaling: {min: 5, max: 3, timezone: Europe/Berlin}",
            [
                "4:3: deploy.scaling.target: is missing; without it and without schedule, the number never changes",
                "4:18: deploy.scaling.min: must be at most max, which is 3, got 5",
                "4:39: deploy.scaling.timezone: requires schedule",
            ],
        ),
        (
            "hooks: {AfterInstall: [{pause: true, stop_grace: 1s, environment: {A: b}}]}",
            [
                "4:52: deploy.hooks.AfterInstall[0].stop_grace: does not fit pause; it is a key of command and "
                "host_command",
                "4:69: deploy.hooks.AfterInstall[0].environment: does not fit pause; it is a key of command",
            ],
        ),
        (
            "replicas: 9\n  scaling: {max: 3, target: {cpu: 60}}\n  rolling: {max_surge: 0}\n"
            "  hooks: {AfterInstall: [{pause: true}]}",
            [
                "4:13: deploy.replicas: must be from 1 to 3, the bounds of scaling, got 9; it is the number of the "
                "first deployment",
                "6:12: deploy.rolling: must allow progress: max_surge 0 and max_unavailable 0 of 9 are both 0; set "
                "max_surge to 1",
                "7:25: deploy.hooks.AfterInstall: requires a strategy that runs the new release beside the previous "
                "one, such as blue_green; rolling has BeforeInstall and AfterAllowTraffic",
            ],
        ),
        (
            "tmpfs: [/cache]\n  volumes: [data:/cache]\n  cap_add: [NET_RAW]\n  cap_drop: [NET_RAW]",
            [
                "4:11: deploy.tmpfs[0]: '/cache' has the same path as the volume 'data:/cache'",
                "7:13: deploy.cap_drop: must not contain NET_RAW, which is in cap_add; remove it from one of them",
            ],
        ),
    ],
)
def test_all_mistakes_of_a_section_at_once(written: str, errors: list[str], loads: Loads) -> None:
    """A check of several keys reports each of them."""
    with pytest.raises(ConfigError) as caught:
        loads(f"{HEAD}  {written}\n{TAIL}")
    assert caught.value.message.splitlines() == [f"pipeline.yaml:{error}" for error in errors]


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        (
            "source: master\ntriggers: push\nbuild: app\ndeploy: web\n",
            [
                "2:9: source: must be a mapping of keys, got 'master' (write {branch: main})",
                "3:11: triggers: must be a mapping of keys, got 'push' (write {branches: [main]})",
                "4:8: build: must be a mapping of keys, got 'app' (write {context: .})",
                "5:9: deploy: must be a mapping of keys, got 'web' (write {target_group: web})",
            ],
        ),
        (
            "deploy:\n  scaling: {minReplicas: 2, maxReplicas: 9, target: {cpu: 60}}\n",
            [
                "3:13: deploy.scaling.minReplicas: unknown key (write min)",
                "3:29: deploy.scaling.maxReplicas: unknown key (write max)",
            ],
        ),
        (
            "deploy:\n  strategy: canary\n  scaling: {max: 9, target: {requests_per_target: 60}}\n",
            [
                "3:13: deploy.strategy: canary needs a target_group, because it moves the traffic to a second one; "
                "write rolling",
                "4:51: deploy.scaling.target.requests_per_target: requires a target_group, because a service without "
                "one gets no requests; use cpu",
            ],
        ),
    ],
)
def test_a_whole_file_with_mistakes(text: str, errors: list[str], loads: Loads) -> None:
    """Each section has its own error, and none that only follows from another one."""
    with pytest.raises(ConfigError) as caught:
        loads(f"name: shop\n{text}")
    assert caught.value.message.splitlines() == [f"pipeline.yaml:{error}" for error in errors]


def test_a_mistake_in_the_defaults_of_several_services_is_reported_once(loads: Loads) -> None:
    """It is reported at the key that is written, with the first service that it does not fit."""
    services = "  services: {api: {target_group: web}, worker: {}}\n  hooks: {AfterInstall: [{pause: true}]}\n"
    with pytest.raises(ConfigError) as caught:
        loads(f"name: shop\ndeploy:\n{services}{TAIL}")
    assert caught.value.message == (
        "pipeline.yaml:4:25: deploy.hooks.AfterInstall: requires a strategy that runs the new release beside the "
        "previous one, such as blue_green; rolling has BeforeInstall and AfterAllowTraffic; it is that of service "
        "api, too"
    )


@pytest.mark.parametrize("percent", ["10", "10%", "10.0%"])
def test_a_percentage_with_or_without_its_sign(percent: str, loads: Loads) -> None:
    """A key that is a percentage by its name or meaning takes both forms."""
    written = f"strategy: {{type: canary, percent: {percent}}}\n  scaling: {{max: 3, target: {{cpu: {percent}}}}}"
    deploy = loads(f"{HEAD}  {written}\n{TAIL}").pipeline.deploy
    assert deploy.strategy is not None
    assert deploy.strategy.steps()[0].percent == 10
    assert deploy.scaling is not None
    assert deploy.scaling.target is not None
    assert deploy.scaling.target.cpu == 10


@pytest.mark.parametrize(
    "model",
    [
        Build,
        CountCondition,
        HeaderMatch,
        Hook,
        HttpCall,
        RatioCondition,
        ScalingPolicy,
        ScalingTarget,
        ServiceSettings,
        Source,
        Traffic,
        Triggers,
    ],
)
def test_each_example_is_valid(model: type[Model]) -> None:
    """What an error suggests is accepted."""
    for example in model.example.split(", or "):
        assert model.model_validate(read_document(Path("example.yaml"), f"example: {example}".encode()).data["example"])
