"""Keys of issuers at a URL, as the balancer reads them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from pipeline.balancer import key_set
from pipeline.base.lock import is_held
from tests.support.issuer import Issuer
from tests.system.alb import Alb


@pytest.fixture
def issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    """An issuer whose certificate is trusted."""
    issuer = Issuer(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(issuer.authorities))
    try:
        yield issuer
    finally:
        issuer.end()


def test_the_lock_is_free_while_keys_are_fetched(
    alb: Alb, issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The balancer's lock is free while keys are fetched."""
    lock, held = alb.balancer.directory / "lock", list[bool]()
    monkeypatch.setattr(issuer, "on_request", lambda: held.append(is_held(lock)))
    trustme.CA().issue_cert("shop.test").private_key_and_cert_chain_pem.write_to_path(tmp_path / "shop.pem")
    answer = {"fixed_response": {"status_code": 200}}
    listener = {
        "protocol": "HTTPS",
        "certificates": [{"certificate": str(tmp_path / "shop.pem")}],
        "default_action": {"jwt_validation": {"jwks": issuer.url(), "issuer": "me"}, **answer},
    }
    alb.declare(listener)
    assert held == [False]
    alb.balancer.ensure_running()
    assert issuer.asked == 1
    monkeypatch.setattr(key_set, "MAX_AGE", timedelta(0))
    alb.balancer.ensure_running()
    assert held == [False, False]
