"""The certificates of all owners of a balancer."""

from __future__ import annotations

from pipeline.acme.keeper import wanted_certificates
from pipeline.balancer.model import Declaration
from pipeline.balancer.model.acme import AcmeCertificate
from pipeline.balancer.registry import Registry


def declared(registry: Registry, owner: str, port: int, *certificates: AcmeCertificate) -> Registry:
    """Return a registry with an HTTPS listener."""
    listener = {
        "port": port,
        "protocol": "HTTPS",
        "certificates": [{"acme": each} for each in certificates],
        "default_action": {"forward": "web"},
    }
    data = {"target_groups": {"web": {"port": 80}}, "load_balancers": {"edge": {"listeners": [listener]}}}
    return registry.declare(owner, Declaration.model_validate(data))


def test_the_same_domains_are_requested_once() -> None:
    """Also if two owners give another address or another port. Other authorities and other domains are others."""
    one = AcmeCertificate(domains=("a.test",), terms_agreed=True)
    same = AcmeCertificate(domains=("a.test",), terms_agreed=True, email="ops@a.test", http_port=8080)
    other = AcmeCertificate(domains=("a.test",), terms_agreed=True, directory="https://a.test/dir")
    more = AcmeCertificate(domains=("a.test", "b.test"), terms_agreed=True)
    registry = declared(declared(Registry(), "shop", 443, one, other), "blog", 444, same, more)
    shop, blog = frozenset({"shop"}), frozenset({"blog"})
    assert wanted_certificates(registry) == {one: shop | blog, other: shop, more: blog}
