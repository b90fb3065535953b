"""Answers to the authorities that issue certificates by ACME (RFC 8555, HTTP-01).

An answer is the token in the path and the thumbprint of the account's key. So HAProxy answers by its configuration
alone, whatever else runs, and nobody can get a certificate by it who does not have the key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.balancer.haproxy.quoting import quote

HOSTS = "challenge.hosts"
"""The file with the domains for which authorities get an answer."""
_PREFIX = "/.well-known/acme-challenge/"
_TOKEN = f"path,field({_PREFIX.count('/') + 1},/)"


def challenge_files(domains: Sequence[str]) -> dict[str, str]:
    """Return the files that the lines need: name → content."""
    return {HOSTS: "".join(f"{domain}\n" for domain in domains)} if domains else {}


def challenge_lines(thumbprint: str) -> Iterator[str]:
    """Yield the lines of a frontend that answer authorities. Other requests and other hosts are not affected.

    The access log is that of a load balancer as in ELB, which has no such requests. So they are not logged.
    """
    answer = quote(f"%[{_TOKEN}].{thumbprint}")
    conditions = (
        f"{{ path_beg {_PREFIX} }}",
        f"{{ {_TOKEN} -m reg {quote('^[A-Za-z0-9_-]+$')} }}",
        f"{{ req.hdr(host),host_only -m str -i -f {HOSTS} }}",
    )
    asked = " ".join(conditions)
    yield f"http-request set-log-level silent if {asked}"
    yield f"http-request return status 200 content-type text/plain lf-string {answer} if {asked}"


def challenge_frontend(port: int, thumbprint: str, *, dual_stack: bool) -> Iterator[str]:
    """Yield a section for a port that has no listener. It answers authorities, and all others with 404."""
    # The name of a listener's frontend has no colon, so this is unique.
    yield f"frontend challenge:{port}"
    yield f"  bind *:{port}"
    if dual_stack:
        yield f"  bind [::]:{port} v6only"
    yield from (f"  {line}" for line in challenge_lines(thumbprint))
    yield "  http-request return status 404"
    yield ""
