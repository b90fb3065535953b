"""A fake authority for certificates by ACME, which issues at once and without a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from pipeline.acme.authority import AuthorityError, Authorization, Challenge, Order, OrderStatus, ProofKind
from pipeline.testing.fakes.faults import Faults

_KINDS: tuple[ProofKind, ...] = ("http-01", "dns-01")
_ASK_INTERVAL = timedelta(hours=6)


@dataclass
class _Kept:
    domains: tuple[str, ...]
    status: OrderStatus = "pending"
    proved: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    certificate: str = ""


class FakeAuthority:
    """An authority whose proofs succeed, but for the domains in `refused`.

    `lifetime` is that of its certificates, `wished_renewal` what `renewal_time` returns. `faults` are injected into its
    calls. `issued` counts certificates.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.faults = Faults()
        self.refused: set[str] = set()
        self.lifetime = timedelta(days=90)
        self.wished_renewal: datetime | None = None
        self.issued = 0
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._orders: dict[str, _Kept] = {}

    def forget(self) -> None:
        """Lose all orders."""
        self._orders.clear()

    def new_order(self, domains: Sequence[str]) -> Order:
        """Request a certificate."""
        with self.faults.call("new_order"):
            url = f"fake:order/{len(self._orders)}"
            self._orders[url] = _Kept(tuple(domains))
            return self._order(url)

    def order(self, url: str) -> Order:
        """Return the order as it is now."""
        with self.faults.call("order"):
            return self._order(url)

    def answer(self, challenge: Challenge) -> None:
        """Check a proof."""
        with self.faults.call("answer"):
            order, _, domain = challenge.url.partition("#")
            kept = self._kept(order)
            name = domain.removeprefix("*.")
            (kept.refused if name in self.refused else kept.proved).add(domain)
            if kept.refused:
                kept.status = "invalid"
            elif kept.proved == set(kept.domains):
                kept.status = "ready"

    def finalize(self, order: Order, request: bytes) -> None:
        """Issue the certificate of an order."""
        with self.faults.call("finalize"):
            kept = self._kept(order.url)
            csr = x509.load_pem_x509_csr(request)
            names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            if kept.status != "ready":
                raise AuthorityError("the order is not ready", is_final=True)
            if set(names.get_values_for_type(x509.DNSName)) != set(kept.domains):
                raise AuthorityError("the request has other domains than the order", is_final=True)
            kept.certificate, kept.status = self._sign(csr, names), "valid"
            self.issued += 1

    def certificate(self, order: Order) -> str:
        """Return the certificate of an order."""
        with self.faults.call("certificate"):
            return self._kept(order.url).certificate

    def renewal_time(self, certificate: str) -> tuple[datetime | None, datetime]:
        """Return `wished_renewal`."""
        with self.faults.call("renewal_time"):
            return self.wished_renewal, self._now() + _ASK_INTERVAL

    def _kept(self, url: str) -> _Kept:
        if url not in self._orders:
            raise AuthorityError(f"there is no order {url}", is_final=True)
        return self._orders[url]

    def _order(self, url: str) -> Order:
        kept = self._kept(url)
        return Order(url, kept.status, tuple(self._authorization(url, kept, domain) for domain in kept.domains))

    def _authorization(self, url: str, kept: _Kept, domain: str) -> Authorization:
        name = domain.removeprefix("*.")
        kinds = _KINDS[1:] if domain.startswith("*.") else _KINDS
        offered: dict[str, Challenge] = {kind: Challenge(name, f"{url}#{domain}", f"token-{name}") for kind in kinds}
        found = Authorization(name, is_open=True, is_valid=False, challenges=offered)
        if domain in kept.refused:
            return replace(found, is_open=False, error="the proof is not there")
        return replace(found, is_open=False, is_valid=True) if domain in kept.proved else found

    def _sign(self, csr: x509.CertificateSigningRequest, names: x509.SubjectAlternativeName) -> str:
        issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fake authority")])
        builder = x509.CertificateBuilder(issuer, csr.subject, csr.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(self._now()).not_valid_after(self._now() + self.lifetime)
        signed = builder.add_extension(names, critical=False).sign(self._key, SHA256())
        return signed.public_bytes(Encoding.PEM).decode()
