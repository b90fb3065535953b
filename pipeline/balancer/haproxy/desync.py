"""Classification of requests that two servers in a chain might read differently (HTTP desync), as in ELB.

HAProxy's parser refuses most of them in every mode, or rewrites them to be unambiguous. The others are classified in
`txn.desync`, also for the access log. Tiers and reasons are those of AWS's
classifier, https://github.com/aws/http-desync-guardian; docs/elb.md has what was measured with its vectors.

- monitor: refuses only requests that HAProxy itself would misread;
- defensive: refuses Severe requests, and closes both connections after Ambiguous ones;
- strictest: accepts only Compliant requests.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.haproxy.error_responses import deny
from pipeline.balancer.haproxy.quoting import quote

# Names that a server might read as those that frame a body: `transfer_encoding`, `content length`. They are joined by
# colons here, because a header name cannot hold one.
_SIMILAR_NAME = (
    "[^a-z0-9:]*(?!(?:transfer-encoding|content-length)(?::|$))"
    "(?:transfer[^a-z0-9:]+encoding|content[^a-z0-9:]+length)[^a-z0-9:]*(?::|$)"
)
# HAProxy replaces the line break of a folded header by spaces.
_FOLDED = r" [ \t]+(?:content-length|transfer-encoding)[ \t]*:"
# HAProxy 2.8 reads 2^64 as 0 and passes the header on unchanged.
_MAX_DIGITS = 18

_FACTS = """\
http-request set-var(txn.framed) bool(true) if { req.fhdr(content-length) -m found }
http-request set-var(txn.framed) bool(true) if { req.fhdr(transfer-encoding) -m found }
acl framed var(txn.framed) -m found
acl bodiless method GET HEAD
acl bodiless req.ver 0.9
acl unchunked method GET HEAD
acl unchunked req.ver 0.9 1.0""".splitlines()
_SEVERE_LENGTH = ("Severe:BadContentLength", f"framed {{ req.fhdr(content-length) -m len gt {_MAX_DIGITS} }}")
_SEVERE_FOLD = ("Severe:BadHeader", f"framed {{ req.hdrs -m reg -i {quote(_FOLDED)} }}")
_AMBIGUOUS = (
    ("Ambiguous:UndefinedContentLengthSemantics", "framed bodiless { req.fhdr(content-length) -m int gt 0 }"),
    ("Ambiguous:UndefinedTransferEncodingSemantics", "framed unchunked { req.fhdr(transfer-encoding) -m found }"),
    (
        "Ambiguous:SuspiciousHeader",
        f"{{ req.hdr_names(:) -m reg {quote(f'^{_SIMILAR_NAME}')} {quote(f':{_SIMILAR_NAME}')} }}",
    ),
)
_ACCEPTABLE = (
    ("Acceptable:NonCompliantVersion", "!{ req.ver 1.1 1.0 2.0 }"),
    ("Acceptable:NonCompliantHeader", r"!{ req.hdrs -m reg '^[^\x01-\x08\x0b\x0c\x0e-\x1f\x7f]*+\z' }"),
    ("Acceptable:GetHeadZeroContentLength", "{ req.fhdr(content-length) -m int 0 } { method GET HEAD }"),
)
_CLASSIFIED = "{ var(txn.desync) -m found }"


def desync_lines(mode: str) -> Iterator[str]:
    """Yield lines of a frontend, for before all others that read the request."""
    yield from _FACTS
    if mode == "monitor":
        yield from _classify(_SEVERE_LENGTH)
        yield f"{deny(400)} if {_CLASSIFIED}"
        yield from _classify(_SEVERE_FOLD, *_AMBIGUOUS)
        yield f"http-after-response set-header Connection close if {{ var(txn.desync) -m str {_SEVERE_LENGTH[0]} }}"
        return
    if mode == "strictest":
        yield from _classify(*_ACCEPTABLE, *_AMBIGUOUS, _SEVERE_LENGTH, _SEVERE_FOLD)
        yield f"{deny(400)} if {_CLASSIFIED}"
    else:
        yield from _classify(_SEVERE_LENGTH, _SEVERE_FOLD)
        yield f"{deny(400)} if {_CLASSIFIED}"
        yield from _classify(*_AMBIGUOUS)
        yield f"http-request set-header Connection close if {_CLASSIFIED}"
    # A denied request alone leaves the client's connection open.
    yield f"http-after-response set-header Connection close if {_CLASSIFIED}"


def _classify(*classes: tuple[str, str]) -> Iterator[str]:
    """Yield lines that set the class. If several match, the last one applies."""
    for name, condition in classes:
        yield f"http-request set-var(txn.desync) str({name}) if {condition}"
