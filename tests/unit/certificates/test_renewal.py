"""The renewal of certificates, by a clock that the test sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.base.clock import Stamp
from pipeline.base.home import Home
from pipeline.certificates.authority import VALIDITY
from pipeline.certificates.pem import domain_names, key_algorithm
from pipeline.certificates.renewal import RENEW_BEFORE, REPORT_BEFORE, renew
from pipeline.certificates.store import CertificateStore, StoredCertificate
from pipeline.daemon.certificate_renewal import CertificateRenewal
from pipeline.event_kinds import EventKind
from pipeline.testing.fakes.clock import FakeClock

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = ["shop.localhost", "www.shop.localhost"]


@pytest.fixture
def store(tmp_path: Path) -> CertificateStore:
    """A home's certificates: none."""
    return CertificateStore(tmp_path / "aws")


def add(store: CertificateStore, *, imported: bool = False, at: datetime = START) -> StoredCertificate:
    """Add a certificate that the home's authority has issued, or one that a client has imported."""
    made = StoredCertificate(f"id-{imported}", "shop", "eu-west-1", imported, at, at, tags={"team": "shop"})
    store.put(made, store.issue(lambda authority: authority.issue(NAMES, "EC_prime256v1", at), at))
    return made


def test_a_certificate_is_renewed_in_time(store: CertificateStore) -> None:
    """It keeps its ARN, names, algorithm and tags, has another key, and its file has all of them."""
    made = add(store)
    due = START + VALIDITY - RENEW_BEFORE
    assert list(renew(store, due)) == []
    before = store.file(made).read_bytes()
    (found,) = renew(store, due + DAY)
    assert (found.certificate.arn, found.names, found.renewed) == (made.arn, tuple(NAMES), True)
    assert found.expires == due + DAY + VALIDITY
    chain = store.chain(made)
    assert domain_names(chain.certificate) == NAMES
    assert key_algorithm(chain.certificate) == "EC_prime256v1"
    assert store.file(made).read_bytes() != before
    (kept,) = store.every()
    assert (kept.tags, kept.changed) == ({"team": "shop"}, due + DAY)
    assert list(renew(store, due + DAY)) == []


def test_an_imported_certificate_is_not_renewed(store: CertificateStore) -> None:
    """Only its owner can get another one, so its end is reported."""
    made = add(store, imported=True)
    before = store.file(made).read_bytes()
    assert list(renew(store, START + VALIDITY - REPORT_BEFORE)) == []
    (found,) = renew(store, START + VALIDITY - REPORT_BEFORE + DAY)
    assert (found.renewed, found.expires) == (False, START + VALIDITY)
    assert store.file(made).read_bytes() == before


def test_nothing_outlives_the_authority(store: CertificateStore) -> None:
    """Near its end, a renewal gains nothing, so the certificate stays and its end is reported."""
    add(store)
    end = store.issue(lambda authority: authority.issue(NAMES, "EC_prime256v1", START), START).chain.issuers[0]
    last = end.not_valid_after_utc
    (found,) = renew(store, last - 30 * DAY)
    assert (found.renewed, found.expires) == (True, last)
    (found,) = renew(store, last - 29 * DAY)
    assert (found.renewed, found.expires) == (False, last)


def test_a_certificate_that_is_deleted_meanwhile_does_not_come_back(store: CertificateStore) -> None:
    """Neither does its key."""
    made = add(store)
    issued = store.issue(lambda authority: authority.issue(NAMES, "EC_prime256v1", START), START)
    store.delete(made.owner, made.arn)
    store.reissue(made, issued)
    assert store.every() == []
    assert not store.file(made).exists()


class Wall(FakeClock):
    """A clock whose wall time the test sets."""

    wall = START

    def now(self) -> Stamp:
        """Return the wall time."""
        return Stamp.from_wall(self.wall)


def test_the_daemon_tells_once_a_day(tmp_path: Path) -> None:
    """A renewal is an event, an expiry is one each day, and a failure names the next attempt."""
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path)})
    clock, events = Wall(), list[tuple[EventKind, str]]()

    def emit(kind: EventKind, message: str, **fields: object) -> None:
        assert fields.keys() <= kind.fields
        events.append((kind, message))

    supervisor = CertificateRenewal(home, emit, clock)
    assert supervisor.step() == timedelta(hours=1)
    store = CertificateStore(home.aws)
    add(store)
    imported = add(store, imported=True)
    supervisor.step()
    assert events == []
    clock.wall = START + VALIDITY - 40 * DAY
    for _ in range(2):
        supervisor.step()
    assert [kind for kind, _ in events] == [EventKind.CERTIFICATE_ISSUED, EventKind.CERTIFICATE_EXPIRING]
    assert f"expires on 2028-04-05: import a new one under {imported.arn}" in events[1][1]
    clock.wall += 50 * DAY
    supervisor.step()
    assert "has expired on 2028-04-05" in events[2][1]
    (home.aws / "certificates.json").write_text("{")
    supervisor.step()
    assert events[3][0] is EventKind.CERTIFICATE_FAILED
