"""The health check of a target group, as lines of HAProxy's backend."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.haproxy.quoting import quote
from pipeline.balancer.model import TargetGroup

# A check's Host header, as in ELB: the address and port that are checked.
CHECK_HOST = "%[bc_dst]:%[bc_dst_port]"
AGENT = "hdr User-Agent ELB-HealthChecker/2.0"


def check_lines(
    group: TargetGroup,
    *,
    http2: bool = False,
    grpc: bool = False,
    proxy_header: bool = False,
    default_host: str = CHECK_HOST,
) -> Iterator[str]:
    """Yield lines of a check that connects, requests a page, or calls a gRPC method that need not exist.

    `proxy_header`: the check begins with a PROXY header. `default_host`: the Host header, if the check sets none.
    """
    header = " send-proxy" if proxy_header else ""
    if group.health_check.protocol == "TCP":
        # Without these, a check would use the protocol of the targets.
        yield "option tcp-check"
        yield f"tcp-check connect{header}"
        return
    version, protocol = ("HTTP/2", "h2") if http2 else ("HTTP/1.1", "h1")
    # With TLS, HAProxy needs ALPN for HTTP/2. A fixed `proto` sends nothing.
    secure = {"h1": "ssl proto h1", "h2": "ssl alpn h2"}[protocol]
    yield "option httpchk"
    yield f"http-check connect {secure if group.health_check.protocol == 'HTTPS' else f'proto {protocol}'}{header}"
    host = group.health_check.host or default_host
    what = f"uri {quote(group.check_path)} ver {version} hdr Host {host} {AGENT}"
    if grpc:
        yield f"http-check send meth POST {what} hdr Content-Type application/grpc hdr Te trailers"
        codes = _codes(group.check_matcher)
        yield f"http-check expect status-code res.hdr(grpc-status) hdr name grpc-status value -m reg '^({codes})$'"
        return
    yield f"http-check send meth GET {what}{' hdr Connection close' if version == 'HTTP/1.1' else ''}"
    yield f"http-check expect status {group.check_matcher}"


def _codes(matcher: str) -> str:
    """Return codes such as `0,12-14` as alternatives of a regular expression."""
    found = []
    for part in matcher.split(","):
        low, _, high = part.partition("-")
        found += [str(code) for code in range(int(low), int(high or low) + 1)]
    return "|".join(found)
