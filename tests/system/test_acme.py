"""Certificates by ACME: HAProxy answers authorities, and Pebble issues certificates to a balancer."""

from __future__ import annotations

import http.client
import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.acme.client import open_authority
from pipeline.acme.keeper import CertificateKeeper
from pipeline.balancer.access import AccessRecord
from pipeline.balancer.acme_account import account_thumbprint
from pipeline.base.clock import SYSTEM
from pipeline.base.errors import ConfigError
from pipeline.event_kinds import EventKind
from pipeline.testing.fakes.authority import FakeAuthority
from tests.support.pebble import Pebble, pebble
from tests.support.ports import free_port
from tests.support.waiting import until
from tests.system.alb import OWNER, Alb
from tests.system.pki import shake, shown

_PATH = "/.well-known/acme-challenge/token-1_A"
_FORWARD = {"default_action": {"forward": "web"}}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    with pebble(tmp_path_factory.mktemp("pebble")) as running:
        yield running


def https(*certificates: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Declare an HTTPS listener with certificates from authorities."""
    return {"protocol": "HTTPS", "certificates": [{"acme": each} for each in certificates], **_FORWARD, **more}


def acme(*domains: str, port: int = 80, **more: Any) -> dict[str, Any]:
    """Return the key `acme` of a certificate."""
    return {"domains": domains, "terms_agreed": True, "http_port": port, **more}


class Kept:
    """The keeper of a balancer's certificates, with what it has reported."""

    def __init__(self, alb: Alb, programs: Path) -> None:
        self.reported: list[tuple[frozenset[str], EventKind, str]] = []
        self.keeper = CertificateKeeper(alb.balancer, open_authority, programs, self._report, SYSTEM)

    def _report(self, owners: frozenset[str], kind: EventKind, message: str, **_: object) -> None:
        self.reported.append((owners, kind, message))

    def until_reported(self, kind: EventKind) -> str:
        """Do steps until an event of a kind was reported. Return its message."""

        def found() -> str | None:
            self.keeper.step()
            return next((message for _, seen, message in self.reported if seen == kind), None)

        return str(until(found, f"{kind}: {self.reported}", deadline=60, interval=0.2))


@pytest.fixture
def kept(alb: Alb, tmp_path: Path) -> Kept:
    return Kept(alb, tmp_path / "dns")


def answer(alb: Alb, port: int, host: str, path: str = _PATH) -> tuple[int, str]:
    """Return the status and the body of a response."""
    found = alb.ask(path, host=host, port=port)
    return found.status, found.text


def test_a_listener_of_the_port_answers_authorities(alb: Alb) -> None:
    """Only for the domains, only such paths, before its rules, and not in the access log. Rules get everything else."""
    port = free_port()
    alb.declare(
        {
            "rules": [
                {
                    "priority": 1,
                    "conditions": [{"path_pattern": ["/*"]}],
                    "action": {"fixed_response": {"status_code": "418"}},
                }
            ],
            **_FORWARD,
        },
        https(acme("shop.test", "www.shop.test", port=alb.port), port=port),
    )
    proof = f"token-1_A.{account_thumbprint(alb.balancer.directory)}"
    assert answer(alb, alb.port, "shop.test") == (200, proof)
    assert answer(alb, alb.port, "WWW.shop.test:80") == (200, proof)
    assert answer(alb, alb.port, "other.test")[0] == 418
    assert answer(alb, alb.port, "shop.test", "/.well-known/acme-challenge/")[0] == 418
    assert answer(alb, alb.port, "shop.test", "/.well-known/acme-challenge/a<b")[0] == 418
    assert answer(alb, alb.port, "shop.test", "/other")[0] == 418
    log = alb.balancer.access_log()
    until(lambda: len([*log.newest_first()]) >= 4, "four lines of the access log")
    assert [each.elb_status for each in log.newest_first() if isinstance(each, AccessRecord)] == [418] * 4


def test_a_port_without_a_listener_is_opened_for_authorities(alb: Alb) -> None:
    """It answers nothing else. It is closed with the certificate, and a listener may take it over, also back."""
    port, own = free_port(), free_port()
    secure = https(acme("shop.test", port=own), port=port)
    alb.declare(secure)
    proof = f"token-1_A.{account_thumbprint(alb.balancer.directory)}"
    assert answer(alb, own, "shop.test") == (200, proof)
    assert answer(alb, own, "shop.test", "/")[0] == 404
    alb.declare(secure, {"port": own, "default_action": {"fixed_response": {"status_code": "204"}}})
    assert answer(alb, own, "shop.test") == (200, proof)
    assert answer(alb, own, "shop.test", "/")[0] == 204
    alb.declare(secure)
    assert answer(alb, own, "shop.test", "/")[0] == 404
    alb.declare({"port": own, **_FORWARD})
    assert answer(alb, own, "shop.test")[0] == 503


def test_a_port_of_another_program_is_refused(alb: Alb) -> None:
    """The message says what to set, and nothing changes."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}, at which certificates are proved by HTTP") as raised:
            alb.declare(https(acme("shop.test", port=port)))
    assert "set http_port in acme" in str(raised.value)
    assert alb.balancer.registry().is_empty


def test_a_port_that_cannot_answer_is_refused(alb: Alb) -> None:
    """The message names the listener that is in the way, and nothing changes."""
    port = free_port()
    with pytest.raises(ConfigError, match=r"certificate for shop\.test is proved by HTTP .* with protocol HTTPS"):
        alb.declare(https(acme("shop.test", port=port), port=port))
    assert alb.balancer.registry().is_empty


def test_a_listener_starts_before_its_certificate_is_issued(alb: Alb) -> None:
    """Its certificate is signed by its own key, for the domains, and stays the same over changes."""
    secure = https(acme("shop.test", port=free_port()))
    alb.declare(secure)
    assert shown(alb.port, "shop.test") == {"shop.test"}
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
        shake(alb.port, ssl.create_default_context())
    worker = alb.worker()
    alb.balancer.ensure_running()
    assert alb.worker() == worker
    before = [path.read_bytes() for path in alb.balancer.directory.glob("certificate.*")]
    alb.declare(secure, {"port": free_port(), **_FORWARD})
    assert [path.read_bytes() for path in alb.balancer.directory.glob("certificate.*")] == before


def trusted(alb: Alb, chain: Path, name: str) -> int:
    """Return the status that a client gets that trusts the issuers in a file."""
    context = ssl.create_default_context(cafile=str(chain))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    connection = http.client.HTTPSConnection(name, alb.port, timeout=10)
    connection.sock = shake(alb.port, context, name)
    with closing(connection):
        connection.request("GET", "/")
        return connection.getresponse().status


def test_pebble_issues_a_certificate(alb: Alb, authority: Pebble, kept: Kept) -> None:
    """HAProxy proves the domains and serves the certificate without a reload. Its key and the account's are private."""
    alb.declare(https(authority.declared("shop.test", "www.shop.test")))
    alb.serve("one")
    worker = alb.worker()
    kept.until_reported(EventKind.CERTIFICATE_ISSUED)
    assert {owners for owners, _, _ in kept.reported} == {frozenset({OWNER})}
    folder = alb.balancer.directory / "acme"
    [issued] = [path for path in folder.glob("*.pem") if path.name != "account.pem"]
    assert trusted(alb, issued, "www.shop.test") == 200
    assert alb.worker() == worker
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.name != "lock"} == {0o600}


def test_a_refused_proof_keeps_the_certificate_that_there_is(alb: Alb, authority: Pebble, kept: Kept) -> None:
    """The reason is reported, and the authority is not asked again at once."""
    declared = authority.declared("bad.test") | {"http_port": free_port()}
    alb.declare(https(declared))
    message = kept.until_reported(EventKind.CERTIFICATE_FAILED)
    assert message.startswith("certificate for bad.test not issued: bad.test: ")
    assert "127.0.0.1" in message
    assert kept.keeper.step() > timedelta(minutes=5)
    assert shown(alb.port, "bad.test") == {"bad.test"}


def test_a_program_proves_by_dns(alb: Alb, authority: Pebble, kept: Kept, tmp_path: Path) -> None:
    """It gets the name and the value of the record, and removes it afterwards. A wildcard is issued."""
    (tmp_path / "dns").mkdir()
    program, calls = tmp_path / "dns" / "records", tmp_path / "calls"
    program.write_text(
        f"""#!/bin/sh
echo "$@" >> {calls}
[ "$1" = remove ] || exec curl -sf -d "{{\\"host\\":\\"$2.\\",\\"value\\":\\"$3\\"}}" {authority.dns_management}/set-txt
"""
    )
    program.chmod(0o700)
    alb.declare(https(authority.declared("*.wild.test", dns="records")))
    kept.until_reported(EventKind.CERTIFICATE_ISSUED)
    assert shown(alb.port, "a.wild.test") == {"*.wild.test"}
    setting, removal = calls.read_text().splitlines()
    assert setting.startswith("set _acme-challenge.wild.test ")
    assert removal == setting.replace("set", "remove", 1)


def test_an_authority_that_is_away_is_asked_again(alb: Alb, authority: Pebble, kept: Kept) -> None:
    """The listener serves meanwhile. The message names the authority."""
    directory = f"https://127.0.0.1:{free_port()}/dir"
    alb.declare(https(authority.declared("away.test") | {"directory": directory}))
    assert directory in kept.until_reported(EventKind.CERTIFICATE_FAILED)
    assert timedelta(seconds=30) < kept.keeper.step() < timedelta(minutes=5)


def test_the_fake_authority_serves_the_same_keeper(alb: Alb, tmp_path: Path) -> None:
    """A certificate that is issued while others are kept is served at once."""
    made, seen = FakeAuthority(), []

    def report(_owners: frozenset[str], kind: EventKind, _message: str, **_: object) -> None:
        seen.append(kind)

    keeper = CertificateKeeper(alb.balancer, lambda _wanted, _path: made, tmp_path, report, SYSTEM)
    alb.declare(https(acme("one.test", port=free_port()), acme("two.test", port=free_port())))
    until(lambda: keeper.step() and len(seen) == 2, "both are issued", interval=0.1)
    assert seen == [EventKind.CERTIFICATE_ISSUED] * 2
    assert made.issued == 2
