"""What the balancer answers by itself when it cannot do what was asked: ELB's codes and the shape of its pages."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.model import TargetGroup

_REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    463: "Too Many Forwarders",
    464: "Protocol Version Mismatch",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}
# Those for which HAProxy takes a page of ours in place of its own. Where there is no request yet, as with one that is
# no HTTP or never ends, it takes none: it then answers 400 and 408 in its own words, without any header of ours.
_BUILT_IN = (400, 401, 403, 405, 408, 413, 500, 501, 502, 504)
# ELB's limit: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html
_FORWARDERS = 30
# HAProxy says 503 too when no target took the connection. With a target that should have, ELB says 502.
_UNREACHED = "answer.unreached.html"
_REACHABLE = "%[be_name,nbsrv,bool,iif({},{})]"


def pages() -> dict[str, str]:
    """A file for each code: a whole answer where HAProxy answers, a body where a rule does."""
    found = {_file(code): _body(_title(code)) for code in _REASONS}
    found[_UNREACHED] = _body(_REACHABLE.format(_title(502), _title(503)))
    for code in _BUILT_IN:
        head = (
            f"HTTP/1.1 {_title(code)}\r\nContent-Type: text/html\r\n"
            f"Content-Length: {len(found[_file(code)])}\r\nConnection: close\r\n\r\n"
        )
        found[f"answer.{code}.http"] = head + found[_file(code)]
    return found


def page_lines() -> Iterator[str]:
    """Lines of the defaults: HAProxy's own answers in our words."""
    for code in _BUILT_IN:
        yield f"errorfile {code} answer.{code}.http"
    yield f"http-error status 503 content-type text/html lf-file {_UNREACHED}"


def deny(code: int) -> str:
    """The action that answers with a code."""
    return f"http-request return status {code} content-type text/html file {_file(code)}"


def frontend_refusals() -> Iterator[str]:
    """What no target gets to see."""
    yield f"{deny(405)} if {{ method TRACE CONNECT }}"
    yield f"{deny(463)} if {{ req.hdr_cnt(x-forwarded-for) gt {_FORWARDERS} }}"
    yield f"{deny(505)} if !{{ req.ver -m beg 1. }} !{{ fc_http_major 2 }}"


def backend_refusals(group: TargetGroup) -> Iterator[str]:
    """What targets of a group do not understand, and that they cannot be reached."""
    here = "{ status 503 } !{ var(txn.status) -m found }"
    yield f'http-after-response set-status 502 reason "{_REASONS[502]}" if {here} {{ nbsrv gt 0 }}'
    if group.protocol_version == "HTTP1":
        yield f"{deny(464)} if {{ req.hdr(content-type) -m beg application/grpc }}"
        return
    yield f"{deny(464)} if !{{ fc_http_major 2 }}"
    if group.is_grpc:
        yield f"{deny(464)} if !{{ method POST }}"


def _file(code: int) -> str:
    return f"answer.{code}.html"


def _title(code: int) -> str:
    return f"{code} {_REASONS[code]}"


def _body(title: str) -> str:
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "</body>\r\n</html>\r\n"
    )
