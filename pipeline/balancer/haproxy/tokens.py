"""Validation of tokens: lines that respond 401 to a request without a valid token."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from pipeline.balancer.haproxy.error_responses import deny
from pipeline.balancer.haproxy.quoting import quote
from pipeline.balancer.key_set import KeySet
from pipeline.balancer.model.application.jwt import Claim, JwtValidation

_TOKEN = "var(txn.token)"  # noqa: S105  # the name of a variable

# The maximum nesting of other claims beside a checked array. A token with more is denied.
_DEPTH = 8


def key_files(validation: JwtValidation, sets: Mapping[str, KeySet]) -> dict[str, str]:
    """Return the issuer's keys: name → content."""
    return {_file(validation.jwks, kid): pem for kid, pem in sets[validation.jwks].keys.items()}


def validate(rule: int, validation: JwtValidation, sets: Mapping[str, KeySet]) -> Iterator[str]:
    """Yield lines for the requests of a rule. Every invalid token gets the same response."""
    taken = f"{{ var(txn.rule) -m int {rule} }}"
    yield f"http-request set-var(txn.token) http_auth_bearer if {taken}"
    for kid in sets[validation.jwks].keys:
        verified = f'{_TOKEN},jwt_verify("RS256",{quote(_file(validation.jwks, kid))})'
        named = f"{{ {_TOKEN},jwt_header_query('$.kid') -m str -- {quote(kid)} }}"
        yield f"http-request set-var(txn.verified) {verified} if {taken} {named}"
    for name in ("exp", "nbf", "iat"):
        yield f"http-request set-var(txn.{name}) {_TOKEN},jwt_payload_query('$.{name}','int') if {taken}"
    for failure in _failures(validation):
        yield f"{deny(401)} if {taken} {failure}"


def _failures(validation: JwtValidation) -> Iterator[str]:
    # A target might use another Authorization header than the one checked here.
    yield "{ req.fhdr_cnt(authorization) gt 1 }"
    yield f"!{{ {_TOKEN},jwt_header_query('$.alg') -m str RS256 }}"
    yield "!{ var(txn.verified) -m int 1 }"
    yield f"!{{ {_TOKEN},jwt_payload_query('$.iss') -m str -- {quote(validation.issuer)} }}"
    yield "!{ var(txn.exp) -m found }"
    yield "{ date,sub(txn.exp) ge 0 }"
    for name in ("nbf", "iat"):
        yield f"{{ var(txn.{name}) -m found }} {{ date,sub(txn.{name}) lt 0 }}"
    for claim in validation.additional_claims:
        yield f"!{{ {_claim_condition(claim)} }}"


def _claim_condition(claim: Claim) -> str:
    """Return the condition that a claim holds one of the values."""
    if claim.format == "single-string":
        return f"{_TOKEN},jwt_payload_query('$.{claim.name}') -m str -- {' '.join(map(quote, claim.values))}"
    if claim.format == "space-separated-values":
        expressions = [f"(^| ){_literal(value)}( |$)" for value in claim.values]
        return f"{_TOKEN},jwt_payload_query('$.{claim.name}') -m reg {' '.join(map(quote, expressions))}"
    # HAProxy 2.8 cannot read arrays, so the whole payload is matched.
    expressions = [_in_array(claim.name, value) for value in claim.values]
    return f"{_TOKEN},field(2,.),ub64dec -m reg {' '.join(map(quote, expressions))}"


def _in_array(name: str, value: str) -> str:
    """Return an expression that matches a JSON object whose member `name` is an array with `value` in it.

    Strings, objects and arrays are skipped as a whole, so their content is not mistaken for a member. Every repetition
    is possessive, because HAProxy's PCRE gives up on long tokens if it must backtrack.
    """
    string, other = r'"(?:[^"\\]++|\\.)*+"', r'[^\]\[{}"]++'
    inner = rf"[[{{](?:{string}|{other})*+[\]}}]"
    for _ in range(_DEPTH - 1):
        inner = rf"[[{{](?:{string}|{other}|{inner})*+[\]}}]"
    here, wanted = rf'"{name}"\s*:', rf'"{_literal(value)}"\s*[\],]'
    before, among = (f"(?:(?!{end})(?:{string}|{other}|{inner}))*+" for end in (here, wanted))
    return rf"^\s*\{{{before}{here}\s*\[{among}{wanted}"


def _literal(value: str) -> str:
    return "".join(f"\\{character}" if character in r"\.[]{}()*+?^$|" else character for character in value)


def _file(source: str, kid: str) -> str:
    return f"key.{hashlib.sha256(f'{source} {kid}'.encode()).hexdigest()[:16]}.pem"
