"""The section `accessories`: its forms, and the limits of a commit."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.base.errors import ConfigError
from pipeline.config.accessory import Accessory
from pipeline.config.policy import Policy
from pipeline.config.published_port import published_port
from pipeline.engine.container import PublishedPort
from tests.support.pipeline_yaml import MINIMAL
from tests.unit.config.loads import Loads

WHOLE = """\
accessories:
  db:
    image: postgres:16
    environment: ["POSTGRES_PASSWORD=${secret:TOKEN}", POSTGRES_USER]
    volumes: [db-data:/var/lib/postgresql/data]
    health_check: {command: [pg_isready, -U, postgres]}
    memory: 1GiB
    ports: ["127.0.0.1:5432:5432"]
    backup: {command: [pg_dump, -Fc, app], schedule: "0 3 * * *", timezone: Europe/Berlin, keep: 7}
    restore: {command: [pg_restore, -d, app, --clean]}
  cache: {image: redis:7}
"""


def test_a_whole_section_is_read(loads: Loads) -> None:
    """Environments have the forms of Compose, and secrets stay names."""
    found = loads(MINIMAL + WHOLE, environ={"TOKEN": "t", "POSTGRES_USER": "app"})
    db = found.pipeline.accessories["db"]
    assert db.environment == {"POSTGRES_PASSWORD": "${secret:TOKEN}", "POSTGRES_USER": "app"}
    assert db.backup is not None
    assert (db.backup.keep, db.backup.timezone) == (7, "Europe/Berlin")
    assert db.start_timeout == timedelta(minutes=2)
    assert found.secret_names == {"TOKEN"}


@pytest.mark.parametrize(
    ("written", "port"),
    [
        ("5432:5432", PublishedPort(5432, "127.0.0.1", 5432)),
        ("0.0.0.0:80:8080", PublishedPort(8080, "0.0.0.0", 80)),
        ("[::1]:53:5353/udp", PublishedPort(5353, "::1", 53, "udp")),
        ("10.0.0.7:1:65535/tcp", PublishedPort(65535, "10.0.0.7", 1)),
    ],
)
def test_published_ports(written: str, port: PublishedPort) -> None:
    """Without an address, only this machine reaches the port."""
    assert published_port(written) == port


@pytest.mark.parametrize("ports", [["53:53", "53:53/udp"], ["10.0.0.1:53:53", "10.0.0.2:53:53"], ["53:53", "54:53"]])
def test_ports_that_do_not_collide(ports: list[str]) -> None:
    """Another protocol, address or number is another port."""
    assert Accessory(image="dns", ports=tuple(ports)).ports == tuple(ports)


def test_a_name_of_a_service_of_the_tests_is_refused(loads: Loads) -> None:
    """The same name would mean two databases."""
    tests = "build: {test: {command: [make], services: {db: {image: postgres}}}}\n"
    with pytest.raises(ConfigError) as caught:
        loads(MINIMAL + tests + "accessories: {db: {image: postgres}}\n")
    assert caught.value.message == (
        "pipeline.yaml:7:19: accessories.db: has the name of a service of the tests (build.test.services.db); "
        "rename one of the two"
    )


def test_only_what_a_container_is_made_from_counts_as_a_difference() -> None:
    """Backups, the limit of a start and the limits of the log apply without another container."""
    plain = Accessory(image="postgres")
    kept = Accessory.model_validate(
        {"image": "postgres", "backup": {"command": ["a"]}, "start_timeout": "1h", "log": {"max_files": 2}}
    )
    assert kept.made_from() == plain.made_from() == {"image": "postgres"}
    assert Accessory(image="postgres", memory=2**30).made_from() != plain.made_from()


def test_the_limits_of_a_commit(loads: Loads) -> None:
    """Volumes and capabilities of accessories are limited as those of services."""
    text = "accessories: {db: {image: postgres, volumes: ['/etc:/etc', 'data:/data'], cap_add: [NET_ADMIN]}}\n"
    pipeline = loads(MINIMAL + text).pipeline
    policy = Policy.model_validate({"volumes": ["data"], "capabilities": []})
    assert list(policy.objections(pipeline, frozenset(), "main", "watch")) == [
        "it mounts /etc, which is not in volumes",
        "it adds NET_ADMIN in accessories.db.cap_add, which is not in capabilities",
    ]
