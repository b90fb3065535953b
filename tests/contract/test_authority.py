"""Contract of `Authority`, kept by every authority. Pebble refuses good nonces now and then meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from cryptography import x509

from pipeline.acme.authority import Authority, AuthorityError, Order, ProofKind
from pipeline.acme.decision import Download, Finalize, GiveUp, Prove, Wait, decide
from pipeline.acme.keys import new_key, signing_request, validity
from pipeline.acme.proof import DnsProof
from tests.contract.authorities import AUTHORITIES, Harness
from tests.support.waiting import until


@pytest.fixture(scope="module", params=AUTHORITIES)
def harness(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with AUTHORITIES[request.param](tmp_path_factory.mktemp("authority")) as made:
        yield made


def settled(authority: Authority, url: str) -> Order:
    """Return an order as soon as it waits for its client, or is over."""

    def found() -> Order | None:
        order = authority.order(url)
        is_checked = all(not each.is_open for each in order.authorizations)
        return order if order.status in ("ready", "valid", "invalid") and is_checked else None

    return until(found, "the authority has checked the proofs", interval=0.05)


def issue(authority: Authority, *domains: str) -> tuple[Order, str, str]:
    """Return an order that is valid, its certificate, and its key."""
    order, key = authority.new_order(domains), new_key()
    step = decide(order, "http-01")
    assert isinstance(step, Prove)
    for challenge in step.challenges:
        authority.answer(challenge)
    order = settled(authority, order.url)
    assert decide(order, "http-01") == Finalize()
    authority.finalize(order, signing_request(key, domains))
    valid = until(
        lambda: found if (found := authority.order(order.url)).status == "valid" else None, "the certificate is issued"
    )
    assert decide(valid, "http-01") == Download()
    return valid, authority.certificate(valid), key


def test_a_certificate_is_issued(harness: Harness) -> None:
    """It is valid now, has the domains and the key that were requested, and comes with its chain."""
    _, chain, key = issue(harness.authority, "a.test", "www.a.test")
    begins, ends = validity(chain, key)
    assert begins <= datetime.now(UTC) < ends
    leaf = x509.load_pem_x509_certificates(chain.encode())[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"a.test", "www.a.test"}
    with pytest.raises(ValueError, match="another key"):
        validity(chain, new_key())


def test_a_later_process_continues_an_order(harness: Harness) -> None:
    """The account and the order are found by the key alone, and what was proved stays proved."""
    order = harness.authority.new_order(["b.test"])
    later = harness.again()
    challenge = later.order(order.url).authorizations[0].challenges["http-01"]
    assert challenge == order.authorizations[0].challenges["http-01"]
    later.answer(challenge)
    assert settled(harness.again(), order.url).status == "ready"


def test_a_certificate_can_be_downloaded_again(harness: Harness) -> None:
    """So a process that is killed after the issue loses nothing."""
    order, chain, _ = issue(harness.authority, "c.test")
    assert harness.again().certificate(order) == chain


def test_a_refused_proof_ends_the_order(harness: Harness) -> None:
    """The order is invalid, and the reason names the domain. The proof of another domain does not matter."""
    harness.refused.add("bad.test")
    order = harness.authority.new_order(["good.test", "bad.test"])
    for each in order.authorizations:
        harness.authority.answer(each.challenges["http-01"])
    step = decide(settled(harness.authority, order.url), "http-01")
    assert isinstance(step, GiveUp)
    assert step.reason.startswith("bad.test: ")


def test_a_wildcard_is_proved_by_dns(harness: Harness) -> None:
    """HTTP is not offered for it. A record of DNS with the value of the proof is enough."""
    order = harness.authority.new_order(["*.d.test"])
    assert isinstance(decide(order, "http-01"), GiveUp)
    step = decide(order, "dns-01")
    assert isinstance(step, Prove)
    [challenge] = step.challenges
    assert challenge.domain == "d.test"
    harness.set_txt(*DnsProof.record(challenge, harness.thumbprint))
    harness.authority.answer(challenge)
    assert settled(harness.authority, order.url).status == "ready"


def test_an_unknown_order_is_a_final_error(harness: Harness) -> None:
    """It is not asked for again."""
    order = harness.authority.new_order(["e.test"])
    with pytest.raises(AuthorityError) as raised:
        harness.authority.order(f"{order.url}-unknown")
    assert raised.value.is_final


def test_a_request_for_other_domains_is_refused(harness: Harness) -> None:
    """The order is not lost by it."""
    order = harness.authority.new_order(["f.test"])
    harness.authority.answer(order.authorizations[0].challenges["http-01"])
    ready = settled(harness.authority, order.url)
    with pytest.raises(AuthorityError) as raised:
        harness.authority.finalize(ready, signing_request(new_key(), ["other.test"]))
    assert raised.value.is_final


def test_no_wish_for_a_renewal(harness: Harness) -> None:
    """An authority without a wish says so, and when to ask again."""
    _, chain, _ = issue(harness.authority, "g.test")
    wished, ask_again = harness.authority.renewal_time(chain)
    assert wished is None
    assert ask_again > datetime.now(UTC)


@pytest.mark.parametrize("kind", ["http-01", "dns-01"])
def test_proofs_are_asked_for_once(harness: Harness, kind: ProofKind) -> None:
    """What the authority checks already is waited for."""
    order = harness.authority.new_order(["h.test"])
    [challenge] = [each.challenges[kind] for each in order.authorizations]
    assert isinstance(decide(order, kind, {challenge.url}), Wait)
