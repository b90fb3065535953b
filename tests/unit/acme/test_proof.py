"""Proofs: the record of DNS and the program that sets it, and the balancer that must be ready."""

from __future__ import annotations

from pathlib import Path

import pytest
from acme.challenges import DNS01
from josepy.b64 import b64decode
from josepy.jwk import JWKEC

from pipeline.acme.authority import AuthorityError, Challenge
from pipeline.acme.proof import DnsProof, HttpProof
from pipeline.balancer.acme_account import account_key, account_thumbprint
from pipeline.base.errors import BalancerFault
from tests.support.waiting import until

_CHALLENGE = Challenge("a.test", "url", "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA")


def program(folder: Path, text: str) -> Path:
    """Write a program."""
    path = folder / "records"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return path


def test_the_record(tmp_path: Path) -> None:
    """Its name and value are those that the library computes from the key of the account."""
    name, value = DnsProof.record(_CHALLENGE, account_thumbprint(tmp_path))
    challenge = DNS01(token=b64decode(_CHALLENGE.token))
    assert value == challenge.validation(JWKEC(key=account_key(tmp_path)))
    assert name == challenge.validation_domain_name("a.test")


def test_a_program_that_fails_is_quoted(tmp_path: Path) -> None:
    """The message has its exit code and what it wrote. It gets no secrets of the daemon's environment."""
    proof = DnsProof(program(tmp_path, 'echo "no zone for $2${SECRET}" >&2; exit 3'), "thumbprint")
    with pytest.raises(
        AuthorityError, match=r"records set failed with exit code 3: no zone for _acme-challenge\.a\.test$"
    ):
        proof.put([_CHALLENGE])


def test_a_missing_program(tmp_path: Path) -> None:
    """The message has its path."""
    with pytest.raises(AuthorityError, match=f"cannot run {tmp_path}/none: No such file"):
        DnsProof(tmp_path / "none", "thumbprint").remove([_CHALLENGE])


def test_a_program_that_hangs_is_killed(tmp_path: Path) -> None:
    """With what it has started, which would hold its output open."""
    proof = DnsProof(program(tmp_path, f"sleep 1000 & echo $! > {tmp_path}/child; wait"), "thumbprint", timeout=2)
    with pytest.raises(AuthorityError, match="records set: it did not exit within 2 s"):
        proof.put([_CHALLENGE])
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    until(lambda: not child.exists() or ") Z " in child.read_text(), "the child has ended")


def test_a_balancer_that_does_not_run_proves_nothing() -> None:
    """So the authority is not asked in vain, which would count against its limits."""

    def reconcile() -> None:
        raise BalancerFault("HAProxy did not start")

    with pytest.raises(
        AuthorityError, match="the balancer cannot answer the authority: HAProxy did not start"
    ) as raised:
        HttpProof(reconcile).put([_CHALLENGE])
    assert not raised.value.is_final
