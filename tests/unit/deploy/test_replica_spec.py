"""The specification of replicas, made from a release."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from pipeline.api import StageContext
from pipeline.config.load import load
from pipeline.config.privileges import DEFAULT_CAPABILITIES, WITHHELD_CAPABILITIES
from pipeline.config.release import ReleaseSpec
from pipeline.engine.container import Privileges
from pipeline.engine.hosts import local_host, runtime_on
from pipeline.engine.labels import LABEL_STOP_SIGNAL
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import Program
from stages.deploy.replica_spec import replica_spec
from stages.deploy.replicas import ReplicaSet, Targets
from tests.unit.deploy.deployments import PIPELINE, with_replicas

DEFAULT = tuple(sorted(DEFAULT_CAPABILITIES))
DOCKER = tuple(sorted(DEFAULT_CAPABILITIES | WITHHELD_CAPABILITIES))


def stored(context: StageContext, *, version: int) -> str:
    """Return the release of the configuration, as a version of the form stores it."""
    spec = ReleaseSpec.of(context.configuration, image_id="sha256:a", image_tag="shop:a", sha="a" * 40, subject="Say")
    data = json.loads(spec.model_dump_json())
    if version == 1:
        data = {key: value for key, value in data.items() if key != "version"}
        deploy = data.pop("services")["web"]
        limits = ("pids_limit", "cap_add", "cap_drop", "no_new_privileges")
        data["deploy"] = {key: value for key, value in deploy.items() if key not in limits}
    return json.dumps(data)


def test_only_a_service_without_a_target_group_has_a_host_name(context: StageContext) -> None:
    """And a probe. Requests to any other one go through the balancer, which checks it."""
    text = "services: {web: {target_group: web}, cache: {health_check: {command: [ping]}}}"
    file = context.home.root / "pipeline.yaml"
    file.write_text((PIPELINE % 1).replace("target_group: web, replicas: 1", text))
    context = replace(context, configuration=load(file))
    spec = ReleaseSpec.of(context.configuration, image_id="sha256:a", image_tag="shop:a", sha="a" * 40, subject="Say")
    web, cache = (
        replica_spec(spec.service(name), pipeline="shop", release=1, run=1, template="t", environment={})
        for name in ("web", "cache")
    )
    assert (web.aliases, web.probe, web.port) == ((), None, 8080)
    assert (cache.aliases, cache.port) == (("cache",), 0)
    assert cache.probe is not None
    assert cache.probe.command == ("ping",)


@pytest.mark.parametrize(
    ("version", "keys", "pids", "privileges"),
    [
        (1, "", None, Privileges(DOCKER, ("ALL",))),
        (2, "", 4096, Privileges(DEFAULT, ("ALL",), no_new_privileges=True)),
        (2, "pids_limit: 64, cap_drop: [ALL],", 64, Privileges((), ("ALL",), no_new_privileges=True)),
        (2, "pids_limit: -1, no_new_privileges: false,", None, Privileges(DEFAULT, ("ALL",))),
    ],
)
def test_a_replica_has_the_limits_of_its_release(
    context: StageContext, version: int, keys: str, pids: int | None, privileges: Privileges
) -> None:
    """A release of version 1 has those of Docker, which are no limits of Penstock."""
    release = ReleaseSpec.parse(stored(with_replicas(context, 1, keys), version=version))
    replica = replica_spec(release.service("web"), pipeline="shop", release=1, run=1, template="t", environment={})
    assert (replica.pids, replica.privileges) == (pids, privileges)


def test_a_replica_has_the_options_of_its_service(context: StageContext) -> None:
    """They are those of the settings. A replica that is killed is told with its own signal."""
    context = with_replicas(context, 1, "stop_signal: SIGQUIT, labels: {team: web}, user: 1000,")
    spec = ReleaseSpec.of(context.configuration, image_id="sha256:a", image_tag="shop:a", sha="a" * 40, subject="Say")
    service = spec.service("web")
    wanted = replica_spec(service, pipeline="shop", release=1, run=1, template="t", environment={})
    assert wanted.options == service.settings.container_options
    engine = FakeEngine(program=lambda _: Program(on_sigterm=None))
    engine.images.add("sha256:a")
    runtime = runtime_on(local_host(engine))
    runtime.prepare("shop")
    runtime.start(replace(wanted, name="shop.web.r1.a"))
    (replica,) = runtime.list("shop")
    assert (replica.labels["team"], replica.labels[LABEL_STOP_SIGNAL]) == ("web", "SIGQUIT")
    targets = SimpleNamespace(target_health=lambda *_: ())
    replicas = ReplicaSet(runtime, cast("Targets", targets), "shop", "web")
    replicas.observe()
    reason = replicas.stop("shop.web.r1.a")
    assert reason is not None
    assert reason.startswith("it did not exit within 10 s of SIGQUIT (exit code 137)")
