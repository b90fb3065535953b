"""The interface of an authority that issues certificates by ACME, and the values that it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

from pipeline.base.errors import SystemFault

ProofKind = Literal["http-01", "dns-01"]
OrderStatus = Literal["pending", "ready", "processing", "valid", "invalid"]


class AuthorityError(SystemFault):
    """The authority could not be asked, or has refused.

    `is_final`: the same request would be refused again, so the order is over. `retry_after`: the authority wants no
    further request before this time has passed.
    """

    def __init__(self, message: str, *, is_final: bool = False, retry_after: timedelta = timedelta(0)) -> None:
        super().__init__(message)
        self.is_final = is_final
        self.retry_after = retry_after


@dataclass(frozen=True)
class Challenge:
    """A way to prove a domain. `token` is the part of the answer that the authority chooses."""

    domain: str
    url: str
    token: str


@dataclass(frozen=True)
class Authorization:
    """The proof of one domain. `is_open`: it is neither given nor refused. `error`: why it was refused."""

    domain: str
    is_open: bool
    is_valid: bool
    challenges: Mapping[str, Challenge] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Order:
    """A request for a certificate, as the authority sees it.

    `authorizations` are those that matter in this state. `delay`: how long the authority wants to be left alone.
    """

    url: str
    status: OrderStatus
    authorizations: tuple[Authorization, ...] = ()
    error: str = ""
    delay: timedelta = timedelta(0)


class Authority(Protocol):
    """An authority, with an account that exists as soon as it is needed. For one thread at a time.

    Each method raises `AuthorityError`. Each may be repeated, also by another process with the key of the account.
    """

    def new_order(self, domains: Sequence[str]) -> Order:
        """Request a certificate. The authority may return an order that it has already."""

    def order(self, url: str) -> Order:
        """Return the order as it is now. A final error if the authority does not know it."""

    def answer(self, challenge: Challenge) -> None:
        """Ask the authority to check a proof, which is in place. It does so some time later."""

    def finalize(self, order: Order, request: bytes) -> None:
        """Request the certificate of an order that is `ready`. `request`: the signing request in PEM."""

    def certificate(self, order: Order) -> str:
        """Return the certificate of an order that is `valid`, with its chain, in PEM."""

    def renewal_time(self, certificate: str) -> tuple[datetime | None, datetime]:
        """Return when the authority wants a certificate to be renewed (RFC 9773), and when to ask again.

        `certificate`: in PEM. The first time is None if it has no such wish.
        """
