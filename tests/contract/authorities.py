"""The authorities that keep the contract of `Authority`: the fake one and Pebble."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.acme.authority import Authority
from pipeline.acme.client import AcmeAuthority
from pipeline.balancer.acme_account import account_thumbprint
from pipeline.balancer.model.acme import AcmeCertificate
from pipeline.testing.fakes.authority import FakeAuthority
from tests.support.pebble import ProofServer, pebble


@dataclass(frozen=True)
class Harness:
    """An authority. `again` opens it once more, as a later process with the same account does.

    `refused` are the domains whose proofs fail. `set_txt` sets a record of DNS. `thumbprint` is that of the account.
    """

    authority: Authority
    again: Callable[[], Authority]
    refused: set[str]
    set_txt: Callable[[str, str], None]
    thumbprint: str


@contextmanager
def fake(_folder: Path) -> Iterator[Harness]:
    """Make a fake authority."""
    made = FakeAuthority()
    yield Harness(made, lambda: made, made.refused, lambda _name, _value: None, "thumbprint")


@contextmanager
def real(folder: Path) -> Iterator[Harness]:
    """Start Pebble, with a server that proves domains."""
    with pebble(folder) as running:
        account = folder / "balancer"
        proofs = ProofServer(account_thumbprint(account))
        wanted = AcmeCertificate.model_validate(running.declared("a.test", email="ops@a.test"))
        with proofs.listening(running.http_port):
            yield Harness(
                AcmeAuthority(wanted, account),
                lambda: AcmeAuthority(wanted, account),
                proofs.refused,
                running.set_txt,
                proofs.thumbprint,
            )


AUTHORITIES = {"fake": fake, "pebble": real}
