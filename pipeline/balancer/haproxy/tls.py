"""TLS of a listener: the arguments of `bind`, and the headers about clients' certificates for targets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from pipeline.balancer.effective import EffectiveApplicationListener, EffectiveListener, EffectiveNetworkListener
from pipeline.balancer.haproxy.directory import PemFile
from pipeline.balancer.haproxy.quoting import quote, regsub
from pipeline.balancer.model.application.attributes import ListenerAttributes
from pipeline.balancer.model.network.listener import AlpnPolicy
from pipeline.balancer.model.ssl_policy import DEFAULT_POLICY, SSL_POLICIES, TLS13_SUITES, SslPolicyName
from pipeline.balancer.model.tls import Certificate, MutualAuthentication

# The curves of OpenSSL 3.0, the cheapest first.
_CURVES = "P-256:X25519:X448:P-521:P-384"
_OLD_VERSIONS = ("TLSv1.0", "TLSv1.1")
# The protocols of ELB's ALPN policies, in their order of preference.
_ALPN: dict[AlpnPolicy, str] = {
    "None": "",
    "HTTP1Only": "http/1.1",
    "HTTP2Only": "h2",
    "HTTP2Optional": "http/1.1,h2",
    "HTTP2Preferred": "h2,http/1.1",
}
# Base64 in lines as long as PEM's.
_LINES = r'regsub("(.{64})(?=.)","\\1%0A",g)'
# X509_V_ERR_CERT_HAS_EXPIRED
_EXPIRED = 10


def pem_files(effective: EffectiveListener) -> Iterator[PemFile]:
    """Yield the certificates and the trust store of a listener."""
    yield from map(_certificate, effective.certificates)
    if isinstance(effective, EffectiveApplicationListener) and (trust := _trust_store(effective)):
        yield trust


def certificate_list(effective: EffectiveListener, prefix: str) -> dict[str, str]:
    """Return the file that lists the certificates. HAProxy reads their host names. The first one is the default."""
    if not effective.listener.secure:
        return {}
    return {f"{prefix}.certificates": "".join(f"{_certificate(c).name}\n" for c in effective.certificates)}


def bind_args(effective: EffectiveApplicationListener, prefix: str) -> str:
    """Return the arguments after the address in a `bind` line."""
    http2 = effective.balancer.attributes.http2
    if not effective.listener.secure:
        return "" if http2 else " proto h1"
    protocols = f"{'h2,' if http2 else ''}http/1.1"
    args = _tls_args(prefix, effective.listener.ssl_policy, protocols)
    return f" {' '.join([*args, *_client_args(effective)])}"


def network_bind_args(effective: EffectiveNetworkListener, prefix: str) -> str:
    """Return the arguments after the address in a `bind` line of a listener for connections."""
    if not effective.listener.secure:
        return ""
    protocols = _ALPN[effective.listener.alpn_policy or "None"]
    return f" {' '.join(_tls_args(prefix, effective.listener.ssl_policy, protocols))}"


def _tls_args(prefix: str, name: SslPolicyName | None, protocols: str) -> Iterator[str]:
    """Yield the `bind` arguments for TLS. `protocols`: those that are offered by ALPN, or none."""
    policy = SSL_POLICIES[name or DEFAULT_POLICY]
    yield f"ssl crt-list {prefix}.certificates"
    yield f"alpn {protocols}" if protocols else "no-alpn"
    yield f"ssl-min-ver {policy.lowest}"
    if policy.highest != "TLSv1.3":
        yield f"ssl-max-ver {policy.highest}"
    yield f"ciphersuites {':'.join(TLS13_SUITES)}"
    yield f"curves {_CURVES}"
    # OpenSSL allows versions this old only at its lowest security level.
    if suites := (*policy.suites, *(["@SECLEVEL=0"] if policy.lowest in _OLD_VERSIONS else [])):
        yield f"ciphers {':'.join(suites)}"


def relay_mark(effective: EffectiveApplicationListener) -> str:
    """Return the identifier of the TLS headers that only this listener sets."""
    return _digest(tuple(_tls_header_names(effective)))


def tls_headers(effective: EffectiveApplicationListener) -> Iterator[str]:
    """Yield `http-request` lines for the headers about the client's TLS.

    They apply to the worker that has the client's connection: see `frontend` on relays. Such headers from a client are
    removed. A replaced worker with the same mark has removed them. With another mark, it may not know all of these
    names, so the headers that it passes on are removed too.
    """
    if not effective.listener.secure:
        return
    yield f"acl told_by_us fc_pp_unique_id -m str {relay_mark(effective)}"
    for name in _tls_header_names(effective):
        yield f"http-request del-header {name} if {{ ssl_fc }} or !told_by_us"
    names = effective.listener.attributes
    if effective.balancer.attributes.tls_version_and_cipher_suite:
        yield f"http-request set-header {names.x_amzn_tls_version} %[ssl_fc_protocol] if {{ ssl_fc }}"
        yield f"http-request set-header {names.x_amzn_tls_cipher_suite} %[ssl_fc_cipher] if {{ ssl_fc }}"
    if effective.listener.mutual_authentication:
        for name, value in _client_certificate(effective.listener.mutual_authentication, names).items():
            yield f"http-request set-header {name} {quote(value)} if {{ ssl_c_used }}"


def _tls_header_names(effective: EffectiveApplicationListener) -> Iterator[str]:
    """Yield the names of headers that only the balancer sets, as arguments of `del-header`."""
    if not effective.listener.secure:
        return
    # Also if clients present no certificates.
    yield "X-Amzn-Mtls- -m beg"
    names = effective.listener.attributes
    if effective.balancer.attributes.tls_version_and_cipher_suite:
        yield from (names.x_amzn_tls_version, names.x_amzn_tls_cipher_suite)
    if effective.listener.mutual_authentication:
        yield from (names.x_amzn_mtls_clientcert, *_certificate_fields(names))


def _client_certificate(mutual: MutualAuthentication, names: ListenerAttributes) -> dict[str, str]:
    """Return the headers about the client's certificate: name → HAProxy's expression."""
    pem = f"-----BEGIN%%20CERTIFICATE-----%%0A%[ssl_c_der,base64,{_LINES}]%%0A-----END%%20CERTIFICATE-----%%0A"
    return _certificate_fields(names, pem) if mutual.mode == "verify" else {names.x_amzn_mtls_clientcert: pem}


def _certificate_fields(names: ListenerAttributes, pem: str = "") -> dict[str, str]:
    """Return the headers about a verified certificate: name → HAProxy's expression."""
    moment = regsub("^(..)(..)(..)(..)(..)(..)Z?$", r"20\1-\2-\3T\4:\5:\6Z")
    return {
        names.x_amzn_mtls_clientcert_serial_number: "%[ssl_c_serial,hex]",
        names.x_amzn_mtls_clientcert_issuer: "%[ssl_c_i_dn(,0,rfc2253)]",
        names.x_amzn_mtls_clientcert_subject: "%[ssl_c_s_dn(,0,rfc2253)]",
        names.x_amzn_mtls_clientcert_validity: (
            f"NotBefore=%[ssl_c_notbefore,{moment}];NotAfter=%[ssl_c_notafter,{moment}]"
        ),
        names.x_amzn_mtls_clientcert_leaf: pem,
    }


def _client_args(effective: EffectiveApplicationListener) -> Iterator[str]:
    """Yield the `bind` arguments for clients' certificates."""
    mutual = effective.listener.mutual_authentication
    if mutual is None:
        return
    if mutual.mode == "passthrough":
        # HAProxy requires a CA file even if it accepts every certificate.
        any_authority = _certificate(effective.certificates[0]).name
        yield f"ca-file {any_authority} verify optional ca-ignore-err all crt-ignore-err all"
    elif trust := _trust_store(effective):
        yield f"ca-file {trust.name} verify required"
        if mutual.ignore_expiry:
            yield f"crt-ignore-err {_EXPIRED}"


def _certificate(certificate: Certificate) -> PemFile:
    acme = certificate.acme
    sources = (acme.file,) if acme else tuple(filter(None, (certificate.certificate, certificate.private_key)))
    return PemFile(f"certificate.{_digest(sources)}.pem", "cert", sources, acme.domains if acme else ())


def _trust_store(effective: EffectiveApplicationListener) -> PemFile | None:
    mutual = effective.listener.mutual_authentication
    if mutual is None or mutual.trust_store is None:
        return None
    return PemFile(f"trust.{_digest((mutual.trust_store,))}.pem", "ca-file", (mutual.trust_store,))


def _digest(sources: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()[:12]
