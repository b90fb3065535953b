"""The settings of the containers of a release."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.balancer.model import Declaration
from pipeline.base.errors import ConfigError
from pipeline.config.container_settings import OPTIONAL_SETTINGS
from pipeline.config.joined_networks import Membership
from pipeline.config.logging_driver import Logging
from pipeline.config.release import ReleaseSpec
from pipeline.config.secrets import Secrets
from pipeline.config.service import ServiceHealthCheck, ServiceSettings
from pipeline.engine.container_options import ContainerOptions, DeviceMapping, DeviceRequest, LogDriver, Ulimit
from tests.support.pipeline_yaml import GOOD
from tests.unit.config.loads import Loads

BALANCER = Declaration.model_validate(
    {
        "target_groups": {"web": {"port": 8080}},
        "load_balancers": {"edge": {"listeners": [{"port": 8000, "default_action": {"forward": "web"}}]}},
    }
)
SETTINGS: list[dict[str, Any]] = [
    {"entrypoint": ()},
    {"entrypoint": ("sh",)},
    {"init": True},
    {"shm_size": "1GiB"},
    {"user": "1000:1000"},
    {"working_dir": "/srv"},
    {"stop_signal": "SIGQUIT"},
    {"read_only": True},
    {"tmpfs": "/run"},
    {"ulimits": {"nofile": 1024}},
    {"extra_hosts": ["db:10.0.0.5"]},
    {"labels": {"team": "web"}},
    {"logging": {"driver": "local"}},
    {"gpus": "all"},
    {"networks": ["backend"]},
    {"devices": ["/dev/net/tun"]},
]


def template(**settings: Any) -> str:
    """Return the template of a release with these settings."""
    services = {"web": ServiceSettings(target_group="web", **settings)}
    spec = ReleaseSpec(
        image_id="sha256:1", image_tag="shop:1", sha="1", subject="", services=services, balancer=BALANCER
    )
    return spec.service("web").template(Secrets({}))


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_changed_setting_replaces_the_containers(settings: dict[str, Any]) -> None:
    """Containers with another value of a setting are not interchangeable."""
    assert template(**settings) != template()
    assert template(**settings) == template(**settings)


def test_a_function_has_its_own_entrypoint() -> None:
    """A function cannot be combined with an entrypoint."""
    with pytest.raises(ValidationError, match="must not be combined with entrypoint"):
        ServiceSettings(target_group="web", function="app.handler", entrypoint=())


def test_settings_that_are_not_set_are_in_no_release() -> None:
    """Containers of earlier releases keep their template, and stored releases their form."""
    stored = ServiceSettings(target_group="web").model_dump(mode="json")
    assert not stored.keys() & set(OPTIONAL_SETTINGS)
    assert template() == "c33c21b8eff0"


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_stored_setting_is_read_back(settings: dict[str, Any]) -> None:
    """A release that was stored has the same settings, and the same containers."""
    service = ServiceSettings(target_group="web", **settings)
    read = ServiceSettings.model_validate_json(service.model_dump_json())
    assert read == service
    assert read.container_options == service.container_options


@pytest.mark.parametrize(
    ("written", "options"),
    [
        ("user: 1000", ContainerOptions(user="1000")),
        ("user: 1000:1000", ContainerOptions(user="1000:1000")),
        ("working_dir: /srv//app/", ContainerOptions(working_dir="/srv/app")),
        ("working_dir: /", ContainerOptions(working_dir="/")),
        ("stop_signal: quit", ContainerOptions(stop_signal="SIGQUIT")),
        ("stop_signal: 3", ContainerOptions(stop_signal="3")),
        ("stop_signal: SIGRTMIN+3", ContainerOptions(stop_signal="SIGRTMIN+3")),
        ("tmpfs: /run", ContainerOptions(tmpfs={"/run": ""})),
        (
            'tmpfs: ["/run:size=64m,mode=1777", /tmp/]',
            ContainerOptions(tmpfs={"/run": "size=64m,mode=1777", "/tmp": ""}),  # a path in a container
        ),
        (
            "ulimits: {nofile: {soft: 1024, hard: -1}, core: 0, memlock: -1}",
            ContainerOptions(ulimits={"nofile": Ulimit(1024, -1), "core": Ulimit(0, 0), "memlock": Ulimit(-1, -1)}),
        ),
        (
            'extra_hosts: ["db:10.0.0.5", "v6=[2001:DB8::5]", "w6:::1", "dev:host-gateway"]',
            ContainerOptions(extra_hosts=("db:10.0.0.5", "v6:2001:db8::5", "w6:::1", "dev:host-gateway")),
        ),
        (
            "extra_hosts: {db: 10.0.0.5, two: [10.0.0.6, '::1']}",
            ContainerOptions(extra_hosts=("db:10.0.0.5", "two:10.0.0.6", "two:::1")),
        ),
        ("labels: [a=b=c, d]", ContainerOptions(labels={"a": "b=c", "d": ""})),
        ("labels: {a: 1, b: true, c: }", ContainerOptions(labels={"a": "1", "b": "true", "c": ""})),
        ("logging: {driver: local}", ContainerOptions(log_driver=LogDriver("local"))),
        ("logging: {options: {max-file: 3}}", ContainerOptions(log_driver=LogDriver(None, {"max-file": "3"}))),
        ("gpus: all", ContainerOptions(device_requests=(DeviceRequest(count=-1),))),
        ("gpus: 2", ContainerOptions(device_requests=(DeviceRequest(count=2),))),
        ("gpus: [{}]", ContainerOptions(device_requests=(DeviceRequest(count=-1),))),
        (
            "gpus: [{driver: nvidia, device_ids: ['0', '3'], capabilities: [compute, gpu], options: {a: false}}]",
            ContainerOptions(
                device_requests=(DeviceRequest("nvidia", 0, ("0", "3"), ("gpu", "compute"), {"a": "false"}),)
            ),
        ),
        (
            "devices: [/dev/net/tun, '/dev//ttyUSB0:/dev/printer', '/dev/fuse:/dev/fuse:rw']",
            ContainerOptions(
                devices=(
                    DeviceMapping("/dev/net/tun", "/dev/net/tun", "rwm"),
                    DeviceMapping("/dev/ttyUSB0", "/dev/printer", "rwm"),
                    DeviceMapping("/dev/fuse", "/dev/fuse", "rw"),
                )
            ),
        ),
        ("networks: [backend]", ContainerOptions(networks={"backend": ()})),
        ("networks: {backend: , other: {}}", ContainerOptions(networks={"backend": (), "other": ()})),
        ("networks: {backend: {aliases: [db, web.1]}}", ContainerOptions(networks={"backend": ("db", "web.1")})),
    ],
)
def test_the_forms_of_compose(written: str, options: ContainerOptions, loads: Loads) -> None:
    """Each form that Compose takes has its meaning."""
    found = loads(GOOD.replace("  replicas: 3", f"  replicas: 3\n  {written}", 1))
    assert found.pipeline.deploy.settings.container_options == options


def test_a_start_period_of_none_is_not_stored() -> None:
    """Containers that have a health check keep their template."""
    check = ServiceHealthCheck(command=("true",))
    assert "start_period" not in check.model_dump(mode="json")
    patient = ServiceHealthCheck(command=("true",), start_period=timedelta(minutes=1))
    assert ServiceHealthCheck.model_validate_json(patient.model_dump_json()) == patient


def test_a_command_beside_a_service_has_no_names_of_it() -> None:
    """Other programs find the service by its labels and aliases. Its log has another reader."""
    service = ServiceSettings(
        user="1000",
        read_only=True,
        labels={"a": "b"},
        logging=Logging(driver="none"),
        networks={"backend": Membership(aliases=("a",))},
        devices=("/dev/fuse",),
    )
    devices = (DeviceMapping("/dev/fuse", "/dev/fuse", "rwm"),)
    expected = ContainerOptions(user="1000", read_only=True, networks={"backend": ()}, devices=devices)
    assert service.container_options.of_command() == expected


def test_a_service_replaces_the_setting_of_deploy(loads: Loads) -> None:
    """A setting of a service is not joined with that of `deploy`, and two that do not fit are one mistake."""
    text = """\
name: shop
deploy:
  labels: {team: shop}
  networks: [backend]
  tmpfs: /run
  services:
    web: {labels: {tier: web}}
    worker: {command: [work]%s}
"""
    services = loads(text % "").pipeline.deploy.all_services()
    assert (services["web"].labels, services["worker"].labels) == ({"tier": "web"}, {"team": "shop"})
    assert set(services["worker"].networks) == {"backend"}
    with pytest.raises(ConfigError) as caught:
        loads(text % ", volumes: ['data:/run']")
    assert caught.value.message == (
        "pipeline.yaml:8:5: deploy.services.worker.tmpfs[0]: '/run' has the same path as the volume 'data:/run'"
    )
