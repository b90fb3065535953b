"""Where authorities ask this machine to prove that it has a domain, for certificates by ACME's HTTP-01 (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.balancer.effective import EffectiveApplicationListener, EffectiveListener
from pipeline.balancer.model.acme import AcmeCertificate
from pipeline.base.errors import ConfigError


def challenged_certificates(listeners: Sequence[EffectiveListener]) -> Iterator[AcmeCertificate]:
    """Yield the certificates whose domains are proved by HTTP."""
    for effective in listeners:
        for certificate in effective.certificates:
            if certificate.acme and certificate.acme.dns is None:
                yield certificate.acme


def challenged_domains(listeners: Sequence[EffectiveListener]) -> tuple[str, ...]:
    """Return the domains that are proved by HTTP, each once."""
    return tuple(sorted({domain for found in challenged_certificates(listeners) for domain in found.domains}))


def challenged_ports(listeners: Sequence[EffectiveListener]) -> frozenset[int]:
    """Return the ports at which the requests of authorities arrive."""
    return frozenset(found.http_port for found in challenged_certificates(listeners))


def answers_challenges(effective: EffectiveListener, ports: frozenset[int]) -> bool:
    """Return whether a listener gets requests of authorities at one of these ports."""
    is_plain = isinstance(effective, EffectiveApplicationListener) and not effective.listener.secure
    return is_plain and effective.port in ports


def own_ports(listeners: Sequence[EffectiveListener]) -> tuple[int, ...]:
    """Return the ports at which requests of authorities arrive and that have no listener."""
    taken = {effective.port for effective in listeners if "tcp" in effective.binding.transports}
    return tuple(sorted(challenged_ports(listeners) - taken))


def check_challenges(listeners: Sequence[EffectiveListener]) -> None:
    """Raise `ConfigError` if a listener that cannot answer authorities has the port of their requests."""
    for found in challenged_certificates(listeners):
        for effective in listeners:
            is_there = effective.port == found.http_port and "tcp" in effective.binding.transports
            if is_there and not answers_challenges(effective, frozenset({found.http_port})):
                raise ConfigError(
                    f"the certificate for {found.domains[0]} is proved by HTTP at port {found.http_port}, where "
                    f"{effective.label} has a listener with protocol {effective.listener.protocol}",
                    hint="use protocol: HTTP there, or set http_port or dns in acme",
                )
