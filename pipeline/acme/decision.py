"""The next step of an order, from its state at the authority alone (pure).

Nothing is remembered but the address of the order and the key. So any process can continue it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from pipeline.acme.authority import Challenge, Order, ProofKind

_POLL_INTERVAL = timedelta(seconds=2)


@dataclass(frozen=True)
class Prove:
    """Put proofs in place, then ask the authority to check them."""

    challenges: tuple[Challenge, ...]


@dataclass(frozen=True)
class Wait:
    """Look at the order again after a time."""

    delay: timedelta


@dataclass(frozen=True)
class Finalize:
    """Every domain is proved. Request the certificate."""


@dataclass(frozen=True)
class Download:
    """The certificate is issued."""


@dataclass(frozen=True)
class GiveUp:
    """The order is over without a certificate."""

    reason: str


Step = Prove | Wait | Finalize | Download | GiveUp


def decide(order: Order, kind: ProofKind, asked: Collection[str] = ()) -> Step:
    """Return the next step of an order. `asked`: the challenges that the authority checks already, by URL."""
    if order.status == "valid":
        return Download()
    if order.status == "ready":
        return Finalize()
    if reason := _failure(order, kind):
        return GiveUp(reason)
    unproved = [each.challenges[kind] for each in order.authorizations if each.is_open]
    if order.status == "pending" and (new := tuple(each for each in unproved if each.url not in asked)):
        return Prove(new)
    return Wait(max(order.delay, _POLL_INTERVAL))


def _failure(order: Order, kind: ProofKind) -> str:
    """Return why an order cannot succeed, or nothing."""
    refused = [each for each in order.authorizations if not each.is_open and not each.is_valid]
    if refused:
        return "; ".join(f"{each.domain}: {each.error or 'its proof was refused'}" for each in refused)
    if order.status == "invalid":
        return order.error or "the authority has ended the order without a reason"
    impossible = [each.domain for each in order.authorizations if each.is_open and kind not in each.challenges]
    return f"the authority offers no {kind} for {', '.join(impossible)}" if impossible else ""
