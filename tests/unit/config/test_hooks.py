"""`deploy.hooks` and `deploy.circuit_breaker` in pipeline.yaml: their forms, their mistakes, and their stored form."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.config.hooks import Hook, HttpCall, LifecycleEvent
from pipeline.config.load import Configuration, load
from pipeline.config.release import ReleaseSpec
from pipeline.config.secrets import Secrets
from pipeline.config.service import ServiceSettings
from pipeline.config.service_spec import ServiceSpec

FILE = """\
name: shop
deploy:
  target_group: web
  strategy: {strategy}
  hooks:
    {hooks}
balancer:
  target_groups: {{web: {{port: 8080}}}}
  load_balancers: {{edge: {{listeners: [{{port: 8000, default_action: {{forward: web}}}}]}}}}
"""
ENVIRON = {"TOKEN": "s3cret", "SHARED": "shared"}


def loaded(folder: Path, hooks: str, strategy: str = "rolling") -> Configuration:
    """Load a file with hooks in its fifth line."""
    (folder / "pipeline.yaml").write_text(FILE.format(hooks=hooks, strategy=strategy))
    return load(folder / "pipeline.yaml", environ=ENVIRON)


def hooks_of(folder: Path, hooks: str, strategy: str = "rolling") -> list[tuple[str, str]]:
    """Return each event with what its hook does."""
    settings = loaded(folder, hooks, strategy).pipeline.deploy
    return [(str(event), hook.describe()) for event, hook in settings.hooks.all()]


def test_hooks_are_in_the_order_of_the_deployment(tmp_path: Path) -> None:
    """Whatever the order in the file. Those of one event stay in theirs."""
    written = """\
AfterAllowTraffic: [{pause: true}, {host_command: [./announce.sh, done]}]
    BeforeInstall: [{command: [check]}]
    AfterAllowTestTraffic: [{http: "http://127.0.0.1:8081/healthz"}]
    BeforeAllowTraffic: [{http: {url: "https://h/x", method: POST}}]
    AfterInstall: [{pause: true}]
"""
    strategy = "{type: blue_green, test_traffic: {port: 8081}}"
    assert hooks_of(tmp_path, written, strategy) == [
        ("BeforeInstall", "check"),
        ("AfterInstall", "pause"),
        ("AfterAllowTestTraffic", "GET http://127.0.0.1:8081/healthz"),
        ("BeforeAllowTraffic", "POST https://h/x"),
        ("AfterAllowTraffic", "pause"),
        ("AfterAllowTraffic", "./announce.sh done"),
    ]


def test_secrets_stay_references(tmp_path: Path) -> None:
    """In the environment, the URL and the headers. What a hook does is shown without their values."""
    written = """\
BeforeInstall:
      - {command: [a], environment: ["A=${secret:TOKEN}", SHARED]}
      - http: "https://h/${secret:TOKEN}"
      - {http: {url: "${secret:TOKEN}", headers: {Authorization: "Bearer ${secret:TOKEN}"}}}
"""
    configuration = loaded(tmp_path, written)
    command, short, whole = configuration.pipeline.deploy.hooks.of(LifecycleEvent.BEFORE_INSTALL)
    assert command.environment == {"A": "${secret:TOKEN}", "SHARED": "shared"}
    assert short.describe() == "GET https://h/${secret:TOKEN}"
    assert whole.http is not None
    assert whole.http.headers == {"Authorization": "Bearer ${secret:TOKEN}"}
    assert configuration.secret_names == {"TOKEN"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://ann:geheim@h:8443/x", "https://h:8443/x"),
        ("https://ann:${secret:KEY}@[::1]/x", "https://[::1]/x"),
        ("https://h/x?token=geheim&is=a=b&geheim#geheim", "https://h/x?token=…&is=…&…"),
        ("https://h", "https://h"),
        ("${secret:URL}", "${secret:URL}"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    """Events, the plan and errors have no user, no password and no value of the query."""
    assert Hook.model_validate({"http": url}).describe() == f"GET {shown}"


def test_variables_of_files(tmp_path: Path) -> None:
    """As for the release command. The variables of `environment` go before them."""
    (tmp_path / "hook.env").write_text("A=file\nB=file\n")
    written = "BeforeInstall: [{command: [a], env_file: hook.env, environment: {A: own}}]"
    ((_, hook),) = loaded(tmp_path, written).pipeline.deploy.hooks.all()
    assert hook.environment == {"A": "own", "B": "file"}


def test_a_service_replaces_the_hooks_of_deploy(tmp_path: Path) -> None:
    """Others have those of `deploy`, and a job has none."""
    (tmp_path / "pipeline.yaml").write_text("""\
name: shop
deploy:
  hooks: {BeforeInstall: [{command: [of-all]}]}
  services:
    one: {}
    two: {hooks: {AfterAllowTraffic: [{command: [own], environment: {A: "${secret:TOKEN}"}}]}}
    none: {hooks: {}}
    nightly: {schedule: "0 3 * * *"}
""")
    services = load(tmp_path / "pipeline.yaml", environ=ENVIRON).pipeline.deploy.all_services()
    found = {name: [hook.describe() for _, hook in each.hooks.all()] for name, each in services.items()}
    assert found == {"one": ["of-all"], "two": ["own"], "none": [], "nightly": []}


@pytest.mark.parametrize(
    ("written", "limit"),
    [
        ({"command": ["a"]}, timedelta(minutes=10)),
        ({"http": "http://h/"}, timedelta(minutes=10)),
        ({"pause": True}, timedelta(days=1)),
        ({"pause": True, "timeout": "7d"}, timedelta(days=7)),
    ],
)
def test_the_time_of_a_hook(written: dict[str, object], limit: timedelta) -> None:
    """Ten minutes, and a day for a pause, as in ECS."""
    assert Hook.model_validate(written).limit == limit


@pytest.mark.parametrize(
    ("written", "passing", "failing"),
    [("200-299", [200, 204, 299], [199, 300, 404]), (204, [204], [200]), ("200,404,500-599", [200, 404, 503], [201])],
)
def test_expected_statuses(written: object, passing: list[int], failing: list[int]) -> None:
    """Codes and ranges, as in the matcher of a health check."""
    call = HttpCall.model_validate({"url": "http://h/", "expected_status": written})
    assert all(map(call.expects, passing))
    assert not any(map(call.expects, failing))


_BESIDE = "requires a strategy that runs the new release beside the previous one, such as blue_green; rolling has "


@pytest.mark.parametrize(
    ("written", "error"),
    [
        (
            "BeforeTraffic: []",
            "6:5: deploy.hooks.BeforeTraffic: unknown key (did you mean BeforeAllowTraffic?)",
        ),
        (
            "AfterInstall: [{pause: true}]",
            f"6:19: deploy.hooks.AfterInstall: {_BESIDE}BeforeInstall and AfterAllowTraffic",
        ),
        (
            "BeforeInstall: {pause: true}",
            "6:20: deploy.hooks.BeforeInstall: must be a list, got a mapping (write [{pause: true}])",
        ),
        (
            "BeforeInstall: [pause]",
            "6:21: deploy.hooks.BeforeInstall[0]: must be a mapping of keys, got 'pause' (write {pause: true})",
        ),
        (
            "BeforeInstall: [{}]",
            "6:21: deploy.hooks.BeforeInstall[0]: exactly one of command, host_command, http and pause is required, "
            "got 0",
        ),
        (
            "BeforeInstall: [{command: [a], pause: true}]",
            "6:43: deploy.hooks.BeforeInstall[0].pause: exactly one of command, host_command, http and pause is "
            "required, got 2",
        ),
        (
            "BeforeInstall: [{pause: false}]",
            "6:29: deploy.hooks.BeforeInstall[0].pause: must be true, or left out with its hook, got false",
        ),
        (
            "BeforeInstall: [{host_command: [a], environment: {A: b}}]",
            "6:54: deploy.hooks.BeforeInstall[0].environment: does not fit host_command; it is a key of command",
        ),
        (
            "BeforeInstall: [{http: 'http://h/', stop_grace: 1s}]",
            "6:53: deploy.hooks.BeforeInstall[0].stop_grace: does not fit http; it is a key of command and "
            "host_command",
        ),
        (
            "BeforeInstall: [{command: [a], on_timeout: continue}]",
            "6:48: deploy.hooks.BeforeInstall[0].on_timeout: does not fit command; it is a key of pause",
        ),
        (
            "BeforeInstall: [{host_command: ['']}]",
            "6:37: deploy.hooks.BeforeInstall[0].host_command[0]: must name a program",
        ),
        (
            "BeforeInstall: [{host_command: ./a.sh}]",
            "6:36: deploy.hooks.BeforeInstall[0].host_command: must be a list, got './a.sh' (write [./a.sh])",
        ),
        (
            "BeforeInstall: [{http: ftp://h/}]",
            "6:28: deploy.hooks.BeforeInstall[0].http: 'ftp://h/' is not a valid URL; write https://HOST/…",
        ),
        (
            "BeforeInstall: [{http: {url: 'http:///x'}}]",
            "6:34: deploy.hooks.BeforeInstall[0].http.url: 'http:///x' is not a valid URL; write https://HOST/…",
        ),
        (
            "BeforeInstall: [{http: {url: 'http://h/', method: HALT}}]",
            "6:55: deploy.hooks.BeforeInstall[0].http.method: must be one of GET, HEAD, POST, PUT, PATCH, DELETE, got "
            "'HALT'",
        ),
        (
            "BeforeInstall: [{http: {url: 'http://h/', expected_status: 200-600}}]",
            "6:64: deploy.hooks.BeforeInstall[0].http.expected_status: must be status codes of 100 to 599, got "
            "'200-600'",
        ),
        (
            "BeforeInstall: [{http: {url: 'http://h/', headers: {'a b': c}}}]",
            "6:64: deploy.hooks.BeforeInstall[0].http.headers.a b: must be a header name: letters, digits, - and _, "
            "got 'a b'",
        ),
        (
            "BeforeInstall: [{pause: true, timeout: 0s}]",
            "6:44: deploy.hooks.BeforeInstall[0].timeout: must be between 1s and 30d",
        ),
        (
            "BeforeInstall: [{pause: true, timeout: 31d}]",
            "6:44: deploy.hooks.BeforeInstall[0].timeout: must be between 1s and 30d",
        ),
        (
            "BeforeInstall: [{command: [a], secrets: all}]",
            "6:36: deploy.hooks.BeforeInstall[0].secrets: unknown key (known: command, entrypoint, env_file, "
            "environment, host_command, http, on_timeout, pause, stop_grace, timeout)",
        ),
    ],
)
def test_mistakes(tmp_path: Path, written: str, error: str) -> None:
    """Each has its place, the rule, and what to write."""
    with pytest.raises(ConfigError) as found:
        loaded(tmp_path, written)
    assert [problem.render("")[1:] for problem in found.value.problems] == [error]


def test_an_argument_has_no_secret(tmp_path: Path) -> None:
    """Every user of the machine could read it."""
    with pytest.raises(ConfigError) as found:
        loaded(tmp_path, "BeforeInstall: [{command: ['${secret:TOKEN}']}]")
    (problem,) = found.value.problems
    assert (problem.path, problem.reason) == ("deploy.hooks.BeforeInstall[0].command[0]", "must not contain a secret")


def test_a_hook_of_test_traffic_needs_some(tmp_path: Path) -> None:
    """A shifting strategy alone has none."""
    with pytest.raises(ConfigError) as found:
        loaded(tmp_path, "AfterAllowTestTraffic: [{pause: true}]", "blue_green")
    assert [problem.render("")[1:] for problem in found.value.problems] == [
        "6:28: deploy.hooks.AfterAllowTestTraffic: requires strategy.test_traffic, because there is none without it"
    ]


@pytest.mark.parametrize(
    ("written", "error"),
    [
        ("often", "3:20: deploy.circuit_breaker: must be true or false, got 'often'"),
        (
            "{threshold: 0}",
            "3:32: deploy.circuit_breaker.threshold: must be at least 1: the first failure then decides",
        ),
        (
            "{threshold: half}",
            "3:32: deploy.circuit_breaker.threshold: 'half' is not a valid amount; write a number such as 2 or a "
            "percentage such as 25%",
        ),
        ("{limit: 3}", "3:21: deploy.circuit_breaker.limit: unknown key (known: enable, threshold)"),
    ],
)
def test_mistakes_of_a_circuit_breaker(tmp_path: Path, written: str, error: str) -> None:
    """Each has its place, the rule, and what to write."""
    (tmp_path / "pipeline.yaml").write_text(f"name: shop\ndeploy:\n  circuit_breaker: {written}\n")
    with pytest.raises(ConfigError) as found:
        load(tmp_path / "pipeline.yaml")
    assert error in [problem.render("")[1:] for problem in found.value.problems]


def test_a_circuit_breaker_is_for_rolling(tmp_path: Path) -> None:
    """As in ECS. One that is switched off fits every strategy."""
    text = FILE.format(hooks="BeforeInstall: []", strategy="blue_green")
    for enable in ("true", "false"):
        (tmp_path / "pipeline.yaml").write_text(text.replace("  hooks:", f"  circuit_breaker: {enable}\n  hooks:"))
        if enable == "false":
            load(tmp_path / "pipeline.yaml")
            continue
        with pytest.raises(ConfigError) as found:
            load(tmp_path / "pipeline.yaml")
        assert [problem.render("")[1:] for problem in found.value.problems] == [
            "5:20: deploy.circuit_breaker: is for rolling, as in ECS; with blue_green, the first container that fails "
            "ends the deployment, before it gets requests; write circuit_breaker: false"
        ]


def test_a_release_keeps_its_hooks(tmp_path: Path) -> None:
    """They are read back as they were, under their names. A release without any has the form of earlier versions."""
    written = "BeforeInstall: [{command: [a], timeout: 5m}, {http: 'http://h/${secret:TOKEN}'}]"
    configuration = loaded(tmp_path, written)
    spec = ReleaseSpec.of(configuration, image_id="i", image_tag="t", sha="s", subject="")
    stored = spec.model_dump_json()
    assert ReleaseSpec.parse(stored) == spec
    assert [hook["timeout"] for hook in json.loads(stored)["services"]["web"]["hooks"]["BeforeInstall"]] == ["5m", None]
    assert not {"hooks", "circuit_breaker"} & ServiceSettings().model_dump(mode="json").keys()


def test_neither_replaces_containers() -> None:
    """The template of a container does not depend on hooks and the circuit breaker."""
    changed = {"hooks": {"BeforeInstall": [{"pause": True}]}, "circuit_breaker": {"threshold": 7}}
    found = {
        ServiceSpec("web", "i", ServiceSettings.model_validate(settings), None).template(Secrets())
        for settings in ({}, changed)
    }
    assert len(found) == 1
