"""Limits of conditions, actions, transforms, tokens and their keys, and the message for each violation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm
from pydantic import BaseModel, ValidationError

from pipeline.balancer.key_set import read_key_set
from pipeline.balancer.model import Action, Condition, FixedResponse, Forward, Listener, Redirect, Rule
from pipeline.balancer.model.application.jwt import Claim, JwtValidation
from pipeline.balancer.model.application.rule import Rewrite
from pipeline.base.errors import ConfigError

OK = {"fixed_response": {"status_code": 200}}
PERMANENT = {"status_code": "HTTP_301"}


def objections(model: type[BaseModel], data: Any) -> str:
    """Return the messages for invalid data."""
    with pytest.raises(ValidationError) as refused:
        model.model_validate(data)
    return "; ".join(error["msg"] for error in refused.value.errors())


REFUSED_CONDITIONS: list[tuple[Any, str]] = [
    ({}, "must be one of host_header, path_pattern, http_header, http_request_method, query_string, source_ip"),
    ({"path_pattern": ["/a"], "host_header": ["a.b"]}, "must be one of"),
    ({"cookie": ["a"]}, "Extra inputs are not permitted"),
    ({"path_pattern": []}, "must have either values or regex_values"),
    ({"path_pattern": {"values": ["/a"], "regex_values": ["a"]}}, "must have either values or regex_values"),
    ({"host_header": ["localhost"]}, "must have a dot, and only letters after the last one"),
    ({"host_header": ["192.0.2.1"]}, "letters after the last one, as in *.example.com, got '192.0.2.1'"),
    ({"host_header": ["a."]}, "must have a dot"),
    ({"host_header": ["*"]}, "must have a dot"),
    ({"host_header": ["a.b:80"]}, "must hold only letters, digits, - and ., and the wildcards * and ?, got 'a.b:80'"),
    ({"host_header": ["a_b.test"]}, "must hold only letters, digits, - and ."),
    ({"host_header": [""]}, "must hold only letters"),
    ({"host_header": [f"{'a' * 124}.test"]}, "at most 128 characters"),
    ({"path_pattern": ["/a b"]}, "must hold only letters, digits and _ - . $ / ~ \" ' @ : + &"),
    ({"path_pattern": ["/caf%C3%A9"]}, "must hold only letters"),
    ({"path_pattern": ["/é"]}, "must hold only letters"),
    ({"path_pattern": ["/a\nb"]}, "must hold only letters"),
    ({"path_pattern": [f"/{'a' * 128}"]}, "at most 128 characters"),
    ({"path_pattern": {"regex_values": ["("]}}, "'(' is not a valid regular expression: missing ), unterminated"),
    ({"path_pattern": {"regex_values": [""]}}, "at least 1 character"),
    ({"path_pattern": {"regex_values": ["a" * 129]}}, "at most 128 characters"),
    ({"http_header": {"name": "Host", "values": ["a"]}}, "use host_header for the Host header"),
    ({"http_header": {"name": "host", "values": ["a"]}}, "use host_header for the Host header"),
    ({"http_header": {"name": "a b", "values": ["a"]}}, "must be a header name of at most 40 characters, got 'a b'"),
    ({"http_header": {"name": "a" * 41, "values": ["a"]}}, "must be a header name of at most 40 characters"),
    ({"http_header": {"name": "", "values": ["a"]}}, "must be a header name"),
    ({"http_header": {"name": 'a"', "values": ["a"]}}, "must be a header name"),
    ({"http_header": {"name": "a", "values": [""]}}, "at least 1 character"),
    ({"http_header": {"name": "a", "values": ["é"]}}, "should match pattern"),
    ({"http_header": {"name": "a"}}, "must have either values or regex_values"),
    ({"http_request_method": ["get"]}, "must be a method in capitals, such as GET, got 'get'"),
    ({"http_request_method": ["*"]}, "must be a method"),
    ({"http_request_method": ["A" * 41]}, "must be a method"),
    ({"http_request_method": []}, "at least 1 item"),
    ({"query_string": [{"key": "a"}]}, "Field required"),
    ({"query_string": [{"key": "a", "value": "x" * 129}]}, "at most 128 characters"),
    ({"query_string": []}, "at least 1 item"),
    ({"source_ip": ["192.0.2.256"]}, "must be an address range such as 192.0.2.0/24 or 2001:db8::/32, got '192.0"),
    ({"source_ip": ["192.0.2.*"]}, "must be an address range"),
    ({"source_ip": ["255.255.255.255/32"]}, "must not be 255.255.255.255/32"),
    ({"source_ip": []}, "at least 1 item"),
]


@pytest.mark.parametrize(("data", "message"), REFUSED_CONDITIONS)
def test_refused_condition(data: Any, message: str) -> None:
    """A condition that ELB would refuse is refused, with the rule that it breaks."""
    assert message in objections(Condition, data)


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        *(
            (regex, "must not use look-around")
            for regex in ("(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", "(?<n>a)", "(?P<n>a)")
        ),
        *((regex, "back reference") for regex in (r"(a)\1", r"(?P=n)", "(?(1)a)", "(?#a)")),
        *((regex, "atomic or possessive groups") for regex in ("(?>a)", "a++", "a*+", "a?+", "a{2}+")),
        *((regex, "named classes") for regex in (r"\pL", r"\P{L}", "[[:alpha:]]", "[^[:digit:]]")),
        ("a{,3}", "or {,n}"),
        ("a\nb", "must be printable ASCII"),
        ("é", "must be printable ASCII"),
        ("[a", "is not a valid regular expression"),
    ],
)
def test_refused_expression(regex: str, message: str) -> None:
    """An expression that ELB refuses, or that Python and HAProxy read differently, is refused."""
    assert message in objections(Condition, {"path_pattern": {"regex_values": [regex]}})
    assert message in objections(Rewrite, {"regex": regex, "replace": ""})


def test_conditions_as_they_are_kept() -> None:
    """A condition may be a bare list of values, and the host bits of an address range are cleared."""
    assert Condition.model_validate({"source_ip": ["192.0.2.77/24", "::1"]}).config.values == (
        "192.0.2.0/24",
        "::1/128",
    )
    assert Condition.model_validate({"query_string": ["x"]}).config.values[0].key is None
    whole = Condition.model_validate({"host_header": {"values": ["a.b"]}})
    assert Condition.model_validate({"host_header": ["a.b"]}) == whole


def rule(*conditions: Any, priority: Any = 1, **more: Any) -> dict[str, Any]:
    return {"priority": priority, "conditions": conditions, "action": OK, **more}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (rule(), "at least 1 item"),
        (rule({"path_pattern": list("abcdef")}), "must hold at most 5 values, got 6; split the rule"),
        (rule({"path_pattern": ["/a", "/b"]}, {"query_string": list("abcd")}), "values, got 6"),
        (rule({"path_pattern": {"regex_values": ["a", "b", "c"]}}, {"source_ip": ["::1"] * 3}), "values, got 6"),
        (rule({"path_pattern": ["/*/*/*/*/?/?"]}), "must hold at most 5 wildcards, got 6; split the rule"),
        (rule({"path_pattern": ["/***"]}, {"query_string": [{"key": "*", "value": "??"}]}), "wildcards, got 6"),
        *(
            (rule({kind: [value]}, {kind: [value]}), f"must hold {kind} once; list its values in one condition")
            for kind, value in (
                ("host_header", "a.b"),
                ("path_pattern", "/a"),
                ("http_request_method", "GET"),
                ("source_ip", "::1"),
            )
        ),
        (rule({"path_pattern": ["/a"]}, priority=0), "greater than or equal to 1"),
        (rule({"path_pattern": ["/a"]}, priority=50001), "less than or equal to 50000"),
        (rule({"path_pattern": ["/a"]}, priority=True), "must be a whole number, got true"),
    ],
)
def test_refused_rule(data: Any, message: str) -> None:
    """A rule has at most five values and five wildcards, and some kinds of condition at most once."""
    assert message in objections(Rule, data)


def test_limits_of_a_rule_are_reached() -> None:
    """Five values and five wildcards are accepted, escaped ones do not count, and headers and queries may repeat."""
    header = {"http_header": {"name": "a", "values": ["*"]}}
    query = {"query_string": [{"key": "\\*?", "value": "x"}]}
    found = Rule.model_validate(rule(header, header, query, query, {"path_pattern": ["/\\*\\?*"]}, priority=50000))
    assert sum(condition.count() for condition in found.conditions) == 5


REFUSED_ACTIONS: list[tuple[type[BaseModel], Any, str]] = [
    (Action, {}, "must have exactly one of forward, redirect and fixed_response"),
    (Action, {"forward": "web", **OK}, "must have exactly one of forward, redirect and fixed_response"),
    (Forward, [], "at least 1 item"),
    (Forward, list("abcdef"), "at most 5 items"),
    (Forward, ["a", "a"], "must name each target group once"),
    (Forward, [{"target_group": "a", "weight": 0}], "must have a weight above 0"),
    (Forward, [{"target_group": "a", "weight": 1000}], "less than or equal to 999"),
    (Forward, [{"target_group": "a", "weight": -1}], "greater than or equal to 0"),
    (Forward, [{"target_group": "a", "weight": True}], "must be a whole number, got true"),
    (Forward, {"target_groups": ["a"], "stickiness": {"duration": "500ms"}}, "must be between 1s and 7d"),
    (Forward, {"target_groups": ["a"], "stickiness": {"duration": "8d"}}, "must be between 1s and 7d"),
    (Forward, {"target_groups": ["a"], "stickiness": {}}, "Field required"),
    (Redirect, PERMANENT, "must change protocol, host, port or path"),
    (Redirect, {**PERMANENT, "query": "a=1"}, "must change protocol, host, port or path"),
    (Redirect, {**PERMANENT, "host": "#{host}", "path": "/#{path}"}, "must change protocol, host, port or path"),
    (Redirect, {"port": "443"}, "Field required"),
    (Redirect, {"port": "443", "status_code": 301}, "HTTP_301"),
    (Redirect, {**PERMANENT, "port": "0"}, "must be between 1 and 65535"),
    (Redirect, {**PERMANENT, "port": 65536}, "must be between 1 and 65535"),
    (Redirect, {**PERMANENT, "port": "https"}, "should match pattern"),
    (Redirect, {**PERMANENT, "protocol": "https"}, "'HTTP', 'HTTPS' or '#{protocol}'"),
    (Redirect, {**PERMANENT, "path": "a"}, "should match pattern"),
    (Redirect, {**PERMANENT, "host": ""}, "at least 1 character"),
    (Redirect, {**PERMANENT, "host": "#{name}"}, "must hold no placeholder other than #{protocol}, #{host}"),
    (Redirect, {**PERMANENT, "path": "/a b"}, "must be ASCII without spaces"),
    (Redirect, {**PERMANENT, "path": "/é"}, "must be ASCII without spaces"),
    (Redirect, {**PERMANENT, "path": f"/{'a' * 128}"}, "at most 128 characters"),
    (FixedResponse, {"status_code": 302}, "should match pattern"),
    (FixedResponse, {"status_code": 100}, "should match pattern"),
    (FixedResponse, {"status_code": "2XX"}, "should match pattern"),
    (FixedResponse, {"status_code": True}, "valid string"),
    (FixedResponse, {"status_code": 200, "message_body": "x" * 1025}, "at most 1024 characters"),
    (FixedResponse, {"status_code": 200, "message_body": "a\0"}, "must be text"),
    (FixedResponse, {"status_code": 204, "message_body": "a"}, "must be empty for status 204"),
    (FixedResponse, {"status_code": 200, "content_type": "image/png"}, "'text/plain', 'text/css', 'text/html'"),
    (Rewrite, {"regex": "a", "replace": "$1"}, "must name existing groups, got $1 for 0 groups"),
    (Rewrite, {"regex": "(a)", "replace": "$1$2"}, "must name existing groups, got $2 for 1 groups"),
    (Rewrite, {"regex": "(a)", "replace": "$0"}, "must name existing groups, got $0 for 1 groups"),
    (Rewrite, {"regex": "a", "replace": "a b"}, "must be ASCII without spaces"),
    (Rewrite, {"regex": "a", "replace": "x" * 1025}, "at most 1024 characters"),
    (Rewrite, {"regex": "", "replace": "x"}, "at least 1 character"),
    (Rewrite, {"regex": "a" * 1025, "replace": "x"}, "at most 1024 characters"),
    (Claim, {"name": "iss", "values": ["a"]}, "must not be iss, which is always checked"),
    (Claim, {"name": "a.b", "values": ["a"]}, "should match pattern"),
    (Claim, {"name": "a", "values": []}, "at least 1 item"),
    (Claim, {"name": "a", "values": list("abcdefghijk")}, "at most 10 items"),
    (Claim, {"name": "a", "values": ["a" * 257]}, "should match pattern"),
    (Claim, {"name": "a", "values": ["a\n"]}, "should match pattern"),
    (Claim, {"name": "a", "format": "space-separated-values", "values": ["a b"]}, "must hold no spaces"),
    (Claim, {"name": "a", "format": "list", "values": ["a"]}, "'single-string', 'string-array'"),
    (JwtValidation, {"jwks": "http://a.test/keys", "issuer": "a"}, "must be an https:// URL or a file path"),
    (JwtValidation, {"jwks": "a" * 257, "issuer": "a"}, "at most 256 characters"),
    (JwtValidation, {"jwks": "keys.json", "issuer": "a b"}, "should match pattern"),
    (JwtValidation, {"jwks": "keys.json", "issuer": ""}, "should match pattern"),
]


@pytest.mark.parametrize(("model", "data", "message"), REFUSED_ACTIONS)
def test_refused_action(model: type[BaseModel], data: Any, message: str) -> None:
    """An action that ELB would refuse, or that cannot be performed, is refused with the reason."""
    assert message in objections(model, data)


def test_short_forms() -> None:
    """A single group may be its name, a port and a status may be numbers, and the rest has ELB's defaults."""
    (group,) = Action.model_validate({"forward": "web"}).groups()
    assert (group.target_group, group.weight) == ("web", 1)
    assert Redirect.model_validate({**PERMANENT, "port": 443}).port == "443"
    redirect = Redirect.model_validate({**PERMANENT, "path": "/x"})
    assert (redirect.protocol, redirect.host, redirect.port, redirect.query) == (
        "#{protocol}",
        "#{host}",
        "#{port}",
        "#{query}",
    )
    assert FixedResponse.model_validate({"status_code": 503}).content_type == "text/plain"


def test_tokens_only_over_https() -> None:
    """Token validation needs HTTPS, and priorities must be unique in a listener."""
    guarded = {"jwt_validation": {"jwks": "keys.json", "issuer": "a"}, **OK}
    assert "must be HTTPS for jwt_validation" in objections(Listener, {"port": 80, "default_action": guarded})
    twice = [rule({"path_pattern": ["/a"]}), rule({"path_pattern": ["/b"]})]
    assert "must have unique priorities, got 1 twice" in objections(
        Listener, {"port": 80, "rules": twice, "default_action": OK}
    )


# --- Keys of issuers

PUBLIC = generate_private_key(65537, 2048).public_key()
JWK = json.loads(RSAAlgorithm.to_jwk(PUBLIC))


def keys_of(directory: Path, *keys: Any) -> dict[str, str]:
    file = directory / "jwks.json"
    file.write_text(json.dumps({"keys": keys}))
    return read_key_set(str(file)).keys


def test_keys_are_read(tmp_path: Path) -> None:
    """RSA keys for signing are read by their ID with any `alg`, and other keys are left out."""
    found = keys_of(
        tmp_path,
        {**JWK, "kid": "one"},
        {**JWK, "kid": "two", "use": "sig", "alg": "RS256"},
        {**JWK, "kid": "five", "alg": "RSA1_5"},
        {**JWK, "kid": "three", "use": "enc"},
        {"kty": "EC", "kid": "four", "crv": "P-256", "x": "", "y": ""},
        {"kty": "oct"},
    )
    pem = PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert found == {"one": pem, "two": pem, "five": pem}


def test_only_the_public_half_of_a_key_is_read(tmp_path: Path) -> None:
    """The private part of a key that an issuer publishes by mistake is not written to the balancer's files."""
    private = generate_private_key(65537, 2048)
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert keys_of(tmp_path, {**json.loads(RSAAlgorithm.to_jwk(private)), "kid": "a"}) == {"a": pem}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a valid key set (JWKS)"),
        ("[]", "is not a valid key set (JWKS)"),
        ('{"keys": 1}', "is not a valid key set (JWKS)"),
        ('{"keys": ["a"]}', "is not a valid key set (JWKS)"),
        ('{"keys": []}', "must hold 1 to 10 RSA signing keys with an ID, got 0"),
        (json.dumps({"keys": [JWK]}), "is not a valid key set (JWKS): 'kid' is missing"),
        (
            json.dumps({"keys": [{**JWK, "kid": "a", "n": "!"}]}),
            "(JWKS): Unable to construct key",
        ),
        (json.dumps({"keys": [{**JWK, "kid": "a\nglobal"}]}), "the ID of a key is not printable ASCII"),
        (json.dumps({"keys": [{**JWK, "kid": ""}]}), "the ID of a key is not printable ASCII"),
        (json.dumps({"keys": [{**JWK, "kid": str(n)} for n in range(11)]}), "signing keys with an ID, got 11"),
        (json.dumps({"keys": [{**JWK, "kid": "a"}], "x": "x" * 2**18}), "is larger than 150 KiB"),
    ],
)
def test_refused_keys(tmp_path: Path, content: str, message: str) -> None:
    """A file that is not a valid key set is refused as a whole, and so is a key ID that could alter a configuration."""
    file = tmp_path / "jwks.json"
    file.write_text(content)
    with pytest.raises(ConfigError) as refused:
        read_key_set(str(file))
    assert message in str(refused.value)
    assert str(file) in str(refused.value)


def test_missing_keys(tmp_path: Path) -> None:
    """A missing key file is named in the error, with the reason."""
    with pytest.raises(ConfigError, match=r"jwks\.json cannot be read: No such file"):
        read_key_set(str(tmp_path / "jwks.json"))
