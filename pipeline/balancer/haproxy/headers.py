"""What the balancer tells targets and clients in headers, as ELB does."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.haproxy.words import quote
from pipeline.balancer.model.attributes import LoadBalancerAttributes
from pipeline.balancer.sharing import SharedListener

_PORTS_LEFT_OUT = (80, 443)


def request_headers(shared: SharedListener) -> Iterator[str]:
    """`http-request` lines. They come after the rules, which see the request as the client sent it."""
    attributes, secure = shared.balancer.attributes, shared.listener.secure
    if attributes.drop_invalid_header_fields:
        yield "http-request del-header '[^A-Za-z0-9-]' -m reg"
    yield from _forwarded_for(attributes)
    yield f"http-request set-header X-Forwarded-Proto {'https' if secure else 'http'}"
    yield f"http-request set-header X-Forwarded-Port {shared.port}"
    yield from _trace()
    if not attributes.preserve_host_header:
        yield from _host(shared.port)


def response_headers(shared: SharedListener) -> Iterator[str]:
    """`http-after-response` lines: they also see what the balancer answers by itself."""
    for name, value in shared.listener.attributes.response_headers().items():
        yield f"http-after-response set-header {name} {quote(value.replace('%', '%%'))}"
    if not shared.listener.attributes.server:
        yield "http-after-response del-header Server if !{ var(txn.status) -m found }"
    yield "http-after-response set-header Connection close if { date,sub(sess.until) ge 0 }"


def _forwarded_for(attributes: LoadBalancerAttributes) -> Iterator[str]:
    if attributes.xff_mode == "remove":
        yield "http-request del-header X-Forwarded-For"
    if attributes.xff_mode != "append":
        return
    client = "%[src]"
    if attributes.xff_client_port:
        client = "%[src]:%[src_port]"
        yield "http-request set-var-fmt(txn.client) %[src]:%[src_port]"
        yield "http-request set-var-fmt(txn.client) [%[src]]:%[src_port] if { src -m sub : }"
        client = "%[var(txn.client)]"
    yield "http-request set-var(txn.xff) req.hdr(x-forwarded-for)"
    yield f'http-request set-header X-Forwarded-For "%[var(txn.xff)], {client}" if {{ var(txn.xff) -m found }}'
    yield f"http-request set-header X-Forwarded-For {client} if !{{ var(txn.xff) -m found }}"


def _trace() -> Iterator[str]:
    """A root of our own, or ourselves before the root that came."""
    yield "http-request set-var(txn.traced) req.hdr(x-amzn-trace-id)"
    random = "%[rand(4294967296),hex,bytes(8,8),lower]"
    identity = f"1-%[date,hex,bytes(8,8),lower]-{random * 3}"
    yield f"http-request set-var-fmt(txn.trace) Root={identity} if !{{ var(txn.traced) -m found }}"
    others = '%[var(txn.traced),regsub("(^|;)Self=[^;]*",,gi),regsub("^;",)]'
    yield f"http-request set-var-fmt(txn.trace) {quote(f'Self={identity};{others}')} if {{ var(txn.traced) -m found }}"
    yield "http-request set-header X-Amzn-Trace-Id %[var(txn.trace)]"


def _host(port: int) -> Iterator[str]:
    """Targets see the port where it is not the usual one, and only there."""
    ported = "{ req.fhdr(host) -m reg :[0-9]+$ }"
    if port in _PORTS_LEFT_OUT:
        yield f"http-request set-header Host %[req.fhdr(host),regsub(:[0-9]+$,)] if {ported}"
    else:
        yield f"http-request set-header Host %[req.fhdr(host)]:{port} if {{ req.fhdr(host) -m found }} !{ported}"
