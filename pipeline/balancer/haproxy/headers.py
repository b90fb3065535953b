"""What the balancer tells targets and clients in headers, as ELB does."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.effective import EffectiveListener
from pipeline.balancer.haproxy.quoting import quote, regsub
from pipeline.balancer.model.application.attributes import LoadBalancerAttributes

_DEFAULT_PORTS = (80, 443)
# In bytes: above it, ELB begins the trace anew.
_MAX_TRACE_BYTES = 7168


def request_headers(effective: EffectiveListener) -> Iterator[str]:
    """`http-request` lines. They come after the rules, which see the request as the client sent it."""
    attributes, secure = effective.balancer.attributes, effective.listener.secure
    if attributes.drop_invalid_header_fields:
        yield "http-request del-header '[^A-Za-z0-9-]' -m reg"
    yield from _forwarded_for(attributes)
    yield f"http-request set-header X-Forwarded-Proto {'https' if secure else 'http'}"
    yield f"http-request set-header X-Forwarded-Port {effective.port}"
    yield from _trace()
    if not attributes.preserve_host_header:
        yield from _host(effective.port)


def response_headers(effective: EffectiveListener) -> Iterator[str]:
    """`http-after-response` lines: they also see what the balancer answers by itself."""
    for name, value in effective.listener.attributes.response_headers().items():
        yield f"http-after-response set-header {name} {quote(value.replace('%', '%%'))}"
    server = "set-header Server penstock" if effective.listener.attributes.server else "del-header Server"
    yield f"http-after-response {server} if !{{ var(txn.status) -m found }}"
    yield "http-after-response set-header Connection close if { date,sub(sess.until) ge 0 }"


def _forwarded_for(attributes: LoadBalancerAttributes) -> Iterator[str]:
    if attributes.xff_mode == "remove":
        yield "http-request del-header X-Forwarded-For"
    if attributes.xff_mode != "append":
        return
    client = "%[src]"
    if attributes.xff_client_port:
        yield "http-request set-var-fmt(txn.client) %[src]:%[src_port]"
        yield "http-request set-var-fmt(txn.client) [%[src]]:%[src_port] if { src -m sub : }"
        client = "%[var(txn.client)]"
    # Without the f, HAProxy would take the last of several addresses for the whole.
    yield "http-request set-var(txn.xff) req.fhdr(x-forwarded-for)"
    yield f"http-request set-var(txn.xff) {_joined('x-forwarded-for')} if {{ req.fhdr_cnt(x-forwarded-for) gt 1 }}"
    came = "{ var(txn.xff) -m len gt 0 }"
    yield f'http-request set-header X-Forwarded-For "%[var(txn.xff)], {client}" if {came}'
    yield f"http-request set-header X-Forwarded-For {client} if !{came}"


def _joined(name: str) -> str:
    """All lines of a header as one: of the whole head the others are taken out, and then what stands between."""
    steps = [
        _every(f"(?m)(?:^(?!{name}: )[^\\n]*+\\n)++", ""),
        regsub(f"^{name}: ", ""),
        _every(f"\\r\\n{name}: ", ", "),
        regsub("\\r\\n$", ""),
    ]
    return quote(",".join(["req.hdrs", *steps]))


def _every(regex: str, replacement: str, flags: str = "g") -> str:
    """The converter that replaces every match."""
    return f"{regsub(regex, replacement).removesuffix(')')},{flags})"


def _trace() -> Iterator[str]:
    """A root of our own, or ourselves before the root that came."""
    yield "http-request set-var(txn.traced) req.fhdr(x-amzn-trace-id,1)"
    # Digits are hexadecimal ones too, and come at half the price; 79 random bits are enough for a second.
    identity = f"1-%[date,hex,bytes(8,8),lower]-{'%[rand(90000000),add(10000000)]' * 3}"
    came = "{ var(txn.traced) -m len gt 0 }"
    yield f"http-request unset-var(txn.traced) if {came} {{ req.hdrs -m len gt {_MAX_TRACE_BYTES} }}"
    yield f"http-request set-var-fmt(txn.trace) Root={identity} if !{came}"
    # The rest follows a semicolon, where there is one.
    others = _every(r"(^|;)\s*Self=[^;]*", "", "gi")
    rest = f"var(txn.traced),{others},{regsub('^;?(?=.)', ';')}"
    yield f"http-request set-var-fmt(txn.trace) {quote(f'Self={identity}%[{rest}]')} if {came}"
    rootless = f"{came} !{{ var(txn.traced) -m reg -i " + quote(r"(^|;)\s*Root=") + " }"
    yield f"http-request set-var-fmt(txn.trace) %[var(txn.trace),regsub(^Self,Root)] if {rootless}"
    yield "http-request set-header X-Amzn-Trace-Id %[var(txn.trace)]"


def _host(port: int) -> Iterator[str]:
    """Targets see the port where it is not the usual one, and only there."""
    if port in _DEFAULT_PORTS:
        yield "http-request set-header Host %[req.fhdr(host),regsub(:[0-9]+$,)] if { req.fhdr(host),port_only gt 0 }"
    else:
        portless = "{ req.fhdr(host) -m len gt 0 } { req.fhdr(host),port_only eq 0 }"
        yield f"http-request set-header Host %[req.fhdr(host)]:{port} if {portless}"
