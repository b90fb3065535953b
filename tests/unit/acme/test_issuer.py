"""A certificate is issued once, survives every crash, and is renewed in good time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.acme.authority import AuthorityError
from pipeline.acme.keys import validity
from pipeline.base.errors import EngineFault, StoreFault
from pipeline.event_kinds import EventKind
from tests.unit.acme.kept import BEGIN, Kept

_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_CALLS = ("new_order", "answer", "order", "finalize", "certificate")


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path, "a.test", "b.test")


def test_a_certificate_is_issued_and_reported(kept: Kept) -> None:
    """It is on disk with its key, once. The proofs of all domains were put in place, and removed."""
    kept.pass_time(_MINUTE)
    content = kept.files.certificate(kept.wanted)
    assert validity(content, content) == (kept.state.issued, kept.state.expires)
    assert kept.kinds == [EventKind.CERTIFICATE_ISSUED]
    assert kept.reported[0][1] == "certificate for a.test, b.test issued, it expires on 2026-04-01"
    assert kept.proof.put_for == kept.proof.removed_for == ["a.test", "b.test"]
    assert kept.authority.issued == 1
    assert kept.state.order is None


@pytest.mark.parametrize("call", _CALLS)
@pytest.mark.parametrize("takes_effect", [False, True])
@pytest.mark.parametrize("after", [0, 1])
def test_a_killed_process_loses_nothing(kept: Kept, call: str, takes_effect: bool, after: int) -> None:
    """Whatever call it dies before or after, the next one continues, and no second certificate is issued."""
    if takes_effect:
        kept.authority.faults.lose_answer(call, after=after)
    else:
        kept.authority.faults.fail(call, EngineFault("killed"), after=after)
    for _ in range(20):
        try:
            kept.step()
        except EngineFault:
            kept.restart()
    assert kept.kinds == [EventKind.CERTIFICATE_ISSUED]
    assert kept.authority.issued == 1
    content = kept.files.certificate(kept.wanted)
    assert validity(content, content)


def test_it_is_renewed_with_a_third_of_its_lifetime_left(kept: Kept) -> None:
    """Not before, and by one order. The certificate is a new one with another key."""
    kept.pass_time(59 * _DAY)
    assert kept.authority.issued == 1
    former = kept.files.certificate(kept.wanted)
    kept.pass_time(2 * _DAY)
    assert kept.authority.issued == 2
    assert kept.files.certificate(kept.wanted) != former
    assert kept.kinds == [EventKind.CERTIFICATE_ISSUED] * 2
    assert kept.state.expires is not None
    assert timedelta(0) <= kept.state.expires - (BEGIN + 150 * _DAY) < _MINUTE


def test_the_authority_may_want_an_earlier_renewal(kept: Kept) -> None:
    """Its wish counts, but never one that is later than a third of the lifetime before the end."""
    kept.pass_time(_DAY)
    kept.authority.wished_renewal = BEGIN + 10 * _DAY
    kept.pass_time(8 * _DAY)
    assert kept.authority.issued == 1
    kept.authority.wished_renewal = BEGIN + 1000 * _DAY
    kept.pass_time(_DAY)
    kept.authority.wished_renewal = BEGIN + 11 * _DAY
    kept.pass_time(1.5 * _DAY)
    assert kept.authority.issued == 2
    kept.authority.wished_renewal = BEGIN + 1000 * _DAY
    kept.pass_time(61 * _DAY)
    assert kept.authority.issued == 3


def test_a_wish_that_is_over_does_not_renew_again_and_again(kept: Kept) -> None:
    """A certificate is used for a day at least."""
    kept.authority.wished_renewal = BEGIN - _DAY
    kept.pass_time(10 * _DAY)
    assert kept.authority.issued == 10


def test_an_authority_that_does_not_say_when_is_asked_again(kept: Kept) -> None:
    """An error of that request is no failure of the certificate."""
    kept.authority.faults.fail("renewal_time", AuthorityError("away"), times=3)
    kept.pass_time(2 * _DAY)
    assert kept.authority.faults.calls["renewal_time"] > 3
    assert kept.kinds == [EventKind.CERTIFICATE_ISSUED]


def test_a_refused_proof_is_reported_and_tried_less_and_less_often(kept: Kept) -> None:
    """At most five failed proofs in an hour, as Let's Encrypt allows, and a few in a day."""
    kept.authority.refused.add("b.test")
    kept.pass_time(timedelta(hours=1))
    assert 2 <= len(kept.reported) <= 4
    assert kept.kinds[0] is EventKind.CERTIFICATE_FAILED
    _, message, fields = kept.reported[0]
    assert message.startswith(
        "certificate for a.test, b.test not issued: b.test: the proof is not there; next attempt in 1"
    )
    assert fields["reason"] == "b.test: the proof is not there"
    assert fields["expires"] is None
    kept.pass_time(_DAY)
    assert len(kept.reported) <= 10
    kept.authority.refused.clear()
    kept.pass_time(_DAY)
    assert kept.kinds[-1] is EventKind.CERTIFICATE_ISSUED
    assert kept.state.failures == 0


def test_the_authority_decides_when_it_may_be_asked_again(kept: Kept) -> None:
    """A limit of its rate is kept, however short the own wait is."""
    kept.authority.faults.fail("new_order", AuthorityError("too many certificates", retry_after=3 * _DAY))
    assert kept.step() == 3 * _DAY
    kept.restart()
    kept.pass_time(3 * _DAY - _MINUTE)
    assert kept.authority.faults.calls["new_order"] == 1
    kept.pass_time(_DAY)
    assert kept.kinds == [EventKind.CERTIFICATE_FAILED, EventKind.CERTIFICATE_ISSUED]


def test_an_outage_does_not_lose_the_order(kept: Kept) -> None:
    """It is continued as soon as the authority is back."""
    kept.authority.faults.fail("finalize", AuthorityError("away"), times=2)
    kept.pass_time(timedelta(minutes=10))
    assert kept.authority.faults.calls["new_order"] == 1
    assert kept.kinds == [EventKind.CERTIFICATE_FAILED] * 2 + [EventKind.CERTIFICATE_ISSUED]


def test_a_proof_that_is_left_over_costs_no_certificate(kept: Kept) -> None:
    """The certificate is issued, and not requested again."""
    kept.proof.removal_fails = True
    kept.pass_time(_DAY)
    assert kept.kinds == [EventKind.CERTIFICATE_ISSUED]
    assert kept.state.failures == 0


def test_a_failed_renewal_keeps_the_certificate_and_warns(kept: Kept) -> None:
    """The message says how long the former certificate is valid. A warning comes once, when a sixth is left."""
    kept.pass_time(_DAY)
    former = kept.files.certificate(kept.wanted)
    kept.authority.refused.add("a.test")
    kept.pass_time(60 * _DAY)
    assert kept.kinds[-1] is EventKind.CERTIFICATE_FAILED
    assert kept.reported[-1][1].endswith("; the certificate of before is valid until 2026-04-01")
    assert EventKind.CERTIFICATE_EXPIRING not in kept.kinds
    kept.pass_time(28 * _DAY)
    assert kept.kinds.count(EventKind.CERTIFICATE_EXPIRING) == 1
    warning = next(message for kind, message, _ in kept.reported if kind is EventKind.CERTIFICATE_EXPIRING)
    assert warning == (
        "certificate for a.test, b.test expires on 2026-04-01 and is not renewed yet: a.test: the proof is not there"
    )
    assert kept.files.certificate(kept.wanted) == former


def test_an_order_that_never_ends_is_given_up(kept: Kept) -> None:
    """After an hour, with the reason."""
    kept.step()
    kept.issuer.asked.update(f"fake:order/0#{domain}" for domain in kept.wanted.domains)
    kept.authority.refused.clear()
    order = kept.state.order
    assert order is not None
    kept.now += timedelta(hours=2)
    kept.step()
    assert "not finished the order within an hour" in kept.reported[0][1]
    assert kept.state.order is None


def test_an_order_that_the_authority_forgot_is_replaced(kept: Kept) -> None:
    """One that was wiped meanwhile knows neither account nor order."""
    kept.step()
    kept.authority.forget()
    kept.pass_time(timedelta(hours=1))
    assert kept.kinds == [EventKind.CERTIFICATE_FAILED, EventKind.CERTIFICATE_ISSUED]


def test_a_removed_file_is_issued_again(kept: Kept) -> None:
    """The state alone is no certificate."""
    kept.pass_time(_MINUTE)
    (kept.files.folder.parent / kept.wanted.file).unlink()
    kept.pass_time(_MINUTE)
    assert kept.authority.issued == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": 1}', '{"version": 2}', '{"version": 1, "domains": 3}'])
def test_a_damaged_state_costs_one_certificate(kept: Kept, damage: str) -> None:
    """It is written anew."""
    kept.pass_time(_MINUTE)
    [path] = kept.files.folder.glob("*.json")
    path.write_text(damage)
    kept.pass_time(_MINUTE)
    assert kept.authority.issued == 2
    assert kept.state.expires is not None


def test_a_disk_that_cannot_be_written_costs_no_order(kept: Kept) -> None:
    """The authority is not asked before the state can be kept."""
    kept.files.folder.touch()
    for _ in range(3):
        with pytest.raises(StoreFault, match="cannot"):
            kept.step()
    assert not kept.authority.faults.calls
    kept.files.folder.unlink()
    kept.pass_time(_MINUTE)
    assert kept.kinds == [EventKind.CERTIFICATE_ISSUED]


def test_files_of_unused_certificates_stay_until_they_expire(kept: Kept) -> None:
    """A rollback finds them. Those of a listener stay in any case."""
    kept.pass_time(_MINUTE)
    files = {path.name for path in kept.files.folder.iterdir()}
    kept.files.remove_unused([], BEGIN + 89 * _DAY)
    kept.files.remove_unused([kept.wanted], BEGIN + 91 * _DAY)
    assert {path.name for path in kept.files.folder.iterdir()} == files
    kept.files.remove_unused([], BEGIN + 91 * _DAY)
    assert not list(kept.files.folder.iterdir())
