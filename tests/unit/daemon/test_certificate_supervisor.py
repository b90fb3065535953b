"""The daemon's job for certificates: asleep without one, and never the cause of a daemon's end."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration
from pipeline.base.clock import SYSTEM
from pipeline.daemon.certificate_supervisor import CertificateSupervisor
from pipeline.event_kinds import EventKind
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.ports import free_port

Reported = list[tuple[frozenset[str], EventKind]]


@pytest.fixture
def balancer(tmp_path: Path) -> Balancer:
    return Balancer(tmp_path / "balancer", FakePlane())


@pytest.fixture
def reported() -> Reported:
    return []


@pytest.fixture
def supervisor(balancer: Balancer, tmp_path: Path, reported: Reported) -> CertificateSupervisor:
    def report(owners: frozenset[str], kind: EventKind, _message: str, **_: object) -> None:
        reported.append((owners, kind))

    return CertificateSupervisor(balancer, tmp_path / "dns", report, SYSTEM)


def declare(balancer: Balancer, owner: str, certificate: dict[str, Any]) -> None:
    """Declare an HTTPS listener."""
    listener = {
        "port": free_port(),
        "protocol": "HTTPS",
        "certificates": [certificate],
        "default_action": {"fixed_response": {"status_code": "204"}},
    }
    edge = {"listeners": [listener]}
    balancer.apply(
        owner, Declaration.model_validate({"target_groups": {"web": {"port": 80}}, "load_balancers": {"edge": edge}})
    )


def test_nothing_is_asked_without_such_a_certificate(
    balancer: Balancer, supervisor: CertificateSupervisor, reported: Reported
) -> None:
    """It looks again after minutes, if nothing wakes it."""
    assert supervisor.step() > timedelta(minutes=1)
    declare(balancer, "shop", {"certificate": "shop.pem"})
    assert supervisor.step() > timedelta(minutes=1)
    assert not reported


def test_the_owners_of_a_certificate_hear_of_its_failure(
    balancer: Balancer, supervisor: CertificateSupervisor, reported: Reported
) -> None:
    """All of them, once. The job waits before it tries again."""
    acme = {
        "domains": ["a.test"],
        "terms_agreed": True,
        "directory": f"https://127.0.0.1:{free_port()}/",
        "http_port": free_port(),
    }
    declare(balancer, "shop", {"acme": acme})
    declare(balancer, "blog", {"acme": acme})
    assert timedelta(seconds=30) < supervisor.step() < timedelta(minutes=2)
    assert reported == [(frozenset({"shop", "blog"}), EventKind.CERTIFICATE_FAILED)]
    supervisor.step()
    assert len(reported) == 1


def test_a_damaged_registry_does_not_end_the_job(balancer: Balancer, supervisor: CertificateSupervisor) -> None:
    """It is tried again after a minute."""
    balancer.directory.mkdir(exist_ok=True)
    (balancer.directory / "registry.json").write_text("{")
    assert supervisor.step() == timedelta(minutes=1)
