"""`deploy.services`: what each service inherits, the order of a rollout, and mistakes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.base.errors import ConfigError
from pipeline.config.policy import Policy
from pipeline.config.release import ReleaseSpec
from tests.unit.config.loads import Loads

BALANCER = """\
balancer:
  target_groups: {web: {port: 8080}, api: {port: 8081}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
"""


def file(services: str, deploy: str = "", balancer: str = BALANCER) -> str:
    """Return a pipeline.yaml with these services."""
    return f"name: shop\ndeploy:\n  {deploy or 'retain: 5'}\n  services: {services}\n{balancer}"


def error_of(loads: Loads, text: str) -> str:
    """Return the message of an invalid file, without its name."""
    with pytest.raises(ConfigError) as caught:
        loads(text)
    return caught.value.message.replace("pipeline.yaml:", "")


def test_a_service_has_the_settings_of_deploy_where_it_sets_none(loads: Loads) -> None:
    """Variables are joined. A key of the service replaces that of deploy."""
    shared = "{memory: 64MiB, replicas: 2, environment: {A: a, B: b}, "
    text = file("{web: {target_group: web, memory: 1GiB}, worker: {environment: {B: c}, replicas: 4}}")
    deploy = loads(
        text.replace("deploy:\n  retain: 5\n  services: ", f"deploy: {shared}services: ").replace(
            "\nbalancer:", "}\nbalancer:", 1
        )
    ).pipeline.deploy
    services = deploy.all_services()
    assert (services["web"].memory, services["worker"].memory) == (2**30, 64 * 2**20)
    assert services["web"].environment == {"A": "a", "B": "b"}
    assert services["worker"].environment == {"A": "a", "B": "c"}
    assert deploy.all_replicas() == {"web": 2, "worker": 4}


def test_the_only_service_is_web(loads: Loads) -> None:
    """Without `services`, the keys of deploy are its settings."""
    deploy = loads("name: shop\ndeploy: {target_group: web, replicas: 3}\n" + BALANCER).pipeline.deploy
    assert list(deploy.all_services()) == ["web"]
    assert deploy.all_services()["web"] == deploy.settings
    assert deploy.all_replicas() == {"web": 3}


def test_a_rollout_follows_after(loads: Loads) -> None:
    """Else the order is that of the file."""
    order = loads(file("{b: {after: [c]}, web: {target_group: web}, c: {after: [web]}}")).pipeline.deploy.all_services()
    assert list(order) == ["web", "c", "b"]
    assert list(loads(file("{b: {}, web: {target_group: web}}")).pipeline.deploy.all_services()) == ["b", "web"]


def test_a_pipeline_without_a_balancer_is_valid(loads: Loads) -> None:
    """A worker alone needs neither a target group nor a listener."""
    configuration = loads("name: shop\ndeploy: {command: [work], replicas: 2}\n")
    assert not configuration.pipeline.balancer.target_groups
    spec = ReleaseSpec.of(configuration, image_id="i", image_tag="t", sha="s", subject="")
    assert ReleaseSpec.parse(spec.model_dump_json()) == spec
    assert spec.service("web").group is None


def test_a_release_of_several_services_is_read_as_it_was_stored(loads: Loads) -> None:
    """With the order of its services, and the settings of deploy itself."""
    text = file("{worker: {after: [web], health_check: {interval: 2s}}, web: {target_group: web}}", "retain: 7")
    spec = ReleaseSpec.of(loads(text), image_id="i", image_tag="t", sha="s", subject="")
    found = ReleaseSpec.parse(spec.model_dump_json())
    assert found == spec
    assert list(found.services) == ["web", "worker"]
    assert found.settings.retain == 7
    assert found.service("worker").settings.health_check.interval == timedelta(seconds=2)
    assert found.service_of("web") == "web"
    assert found.service_of("api") is None


@pytest.mark.parametrize(
    ("services", "error"),
    [
        (
            "{web: {target_group: web, after: [wrker]}, worker: {}}",
            "4:47: deploy.services.web.after[0]: there is no service wrker; did you mean worker?",
        ),
        (
            "{web: {target_group: web, after: [worker]}, worker: {after: [web]}}",
            "4:46: deploy.services.web.after: has a cycle: web after worker after web",
        ),
        (
            "{web: {target_group: web}, worker: {on_drain: {http: /drain}}}",
            "4:59: deploy.services.worker.on_drain: http requires a target_group, because it is sent to the target's "
            "port; use command or signal, or write on_drain: null",
        ),
        (
            "{web: {target_group: web}, api: {target_group: web}}",
            "4:60: deploy.services.api.target_group: web has the targets of web already; each service needs a target "
            "group of its own",
        ),
        (
            "{web: {target_group: web, approval: {timeout: 1h}}}",
            "4:49: deploy.services.web.approval: belongs in deploy, because it is the same for all services of a "
            "release",
        ),
        (
            "{web: {target_group: wbe}}",
            "4:34: deploy.services.web.target_group: there is no target group wbe (did you mean web?)",
        ),
        (
            "{web: {target_group: api}}",
            "4:34: deploy.services.web.target_group: no listener forwards to api, so the deployment would be "
            "unreachable (add default_action: {forward: api} to a listener)",
        ),
        (
            "{web: {target_group: web, health_check: {interval: 2s}}}",
            "4:53: deploy.services.web.health_check: is for a service without a target group; set health_check of the "
            "target group web instead",
        ),
        (
            "{web: {target_group: web, rolling: {max_surge: 0}}}",
            "4:48: deploy.services.web.rolling: must allow progress: max_surge 0 and max_unavailable 0 of 1 are both "
            "0; set max_surge to 1",
        ),
        (
            "{web: {target_group: web}, worker: {replica: 2}}",
            "4:49: deploy.services.worker.replica: unknown key (did you mean replicas?)",
        ),
        (
            "{web: {target_group: web}, my worker: {}}",
            "4:51: deploy.services.my worker: must be 1 to 32 letters, digits and inner dashes, got 'my worker'",
        ),
        (
            "{worker: {}}",
            "2:1: deploy.target_group: is missing (name the group of balancer.target_groups in which the containers "
            "are registered, or remove balancer)",
        ),
    ],
)
def test_mistakes_in_services(services: str, error: str, loads: Loads) -> None:
    """Each has its place, the reason and what to write instead."""
    assert error_of(loads, file(services)) == error


def test_a_target_group_of_all_services(loads: Loads) -> None:
    """It is refused, since the containers of one service would take those of another for their own."""
    text = file("{web: {}, worker: {}}", "target_group: web")
    assert error_of(loads, text) == (
        "3:17: deploy.target_group: belongs in one of services, because each needs a target group of its own"
    )


def test_a_target_group_without_a_balancer(loads: Loads) -> None:
    """It does not exist. The hint says that a worker needs none."""
    assert error_of(loads, "name: shop\ndeploy: {target_group: web}\n") == (
        "2:24: deploy.target_group: there is no target group web (declare it in balancer; a worker needs none)"
    )


def test_defaults_that_do_not_fit_a_service(loads: Loads) -> None:
    """The mistake is reported at the key of the service."""
    text = file("{web: {target_group: web, cap_drop: [CHOWN]}}", "cap_add: [CHOWN]")
    assert error_of(loads, text) == (
        "4:49: deploy.services.web.cap_drop: must not contain CHOWN, which is in cap_add; remove it from one of them"
    )


def test_a_service_may_have_secrets_and_inherited_variables(loads: Loads) -> None:
    """In its environment only."""
    text = file("{web: {target_group: web}, worker: {environment: {KEY: '${secret:KEY}', HOST: }}}")
    configuration = loads(text, environ={"KEY": "hunter22", "HOST": "db"})
    settings = configuration.pipeline.deploy.all_services()["worker"]
    assert configuration.secrets.resolve_all(settings.environment) == {"KEY": "hunter22", "HOST": "db"}
    text = file("{web: {target_group: web}, worker: {command: ['${secret:KEY}']}}")
    assert "deploy.services.worker.command[0]: must not contain a secret" in error_of(loads, text)


def test_a_policy_looks_at_every_service(loads: Loads) -> None:
    """A commit must not mount or add in a service what it may not in deploy."""
    pipeline = loads(file("{web: {target_group: web, volumes: ['/etc:/x'], cap_add: [NET_RAW]}}")).pipeline
    objections = list(Policy(volumes=(), capabilities=()).objections(pipeline, frozenset(), "main", "hook"))
    assert objections == [
        "it mounts /etc, which is not in volumes",
        "it adds NET_RAW in deploy.services.web.cap_add, which is not in capabilities",
    ]
