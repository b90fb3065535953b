"""Limits of conditions, actions, transforms, tokens and their keys, and what is said where they are passed."""

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
FOR_GOOD = {"status_code": "HTTP_301"}


def objections(model: type[BaseModel], data: Any) -> str:
    """What is said of data that is refused."""
    with pytest.raises(ValidationError) as refused:
        model.model_validate(data)
    return "; ".join(error["msg"] for error in refused.value.errors())


REFUSED_CONDITIONS: list[tuple[Any, str]] = [
    ({}, "must be one of host_header, path_pattern, http_header, http_request_method, query_string, source_ip"),
    ({"path_pattern": ["/a"], "host_header": ["a.b"]}, "must be one of"),
    ({"cookie": ["a"]}, "Extra inputs are not permitted"),
    ({"path_pattern": []}, "needs either values or regex_values"),
    ({"path_pattern": {"values": ["/a"], "regex_values": ["a"]}}, "needs either values or regex_values"),
    ({"host_header": ["localhost"]}, "'localhost' needs a dot, and only letters after the last one"),
    ({"host_header": ["192.0.2.1"]}, "needs a dot, and only letters after the last one: shop.example.com"),
    ({"host_header": ["a."]}, "needs a dot"),
    ({"host_header": ["*"]}, "needs a dot"),
    ({"host_header": ["a.b:80"]}, "'a.b:80' may hold letters, digits, - and ., and the wildcards * and ?"),
    ({"host_header": ["a_b.test"]}, "may hold letters, digits, - and ."),
    ({"host_header": [""]}, "may hold letters"),
    ({"host_header": [f"{'a' * 124}.test"]}, "at most 128 characters"),
    ({"path_pattern": ["/a b"]}, "may hold letters, digits and _ - . $ / ~ \" ' @ : + &"),
    ({"path_pattern": ["/caf%C3%A9"]}, "may hold letters"),
    ({"path_pattern": ["/é"]}, "may hold letters"),
    ({"path_pattern": ["/a\nb"]}, "may hold letters"),
    ({"path_pattern": [f"/{'a' * 128}"]}, "at most 128 characters"),
    ({"path_pattern": {"regex_values": ["("]}}, "'(' is no regular expression: missing ), unterminated subpattern"),
    ({"path_pattern": {"regex_values": [""]}}, "at least 1 character"),
    ({"path_pattern": {"regex_values": ["a" * 129]}}, "at most 128 characters"),
    ({"http_header": {"name": "Host", "values": ["a"]}}, "use host_header for the Host header"),
    ({"http_header": {"name": "host", "values": ["a"]}}, "use host_header for the Host header"),
    ({"http_header": {"name": "a b", "values": ["a"]}}, "'a b' is no header name of at most 40 characters"),
    ({"http_header": {"name": "a" * 41, "values": ["a"]}}, "is no header name of at most 40 characters"),
    ({"http_header": {"name": "", "values": ["a"]}}, "is no header name"),
    ({"http_header": {"name": 'a"', "values": ["a"]}}, "is no header name"),
    ({"http_header": {"name": "a", "values": [""]}}, "at least 1 character"),
    ({"http_header": {"name": "a", "values": ["é"]}}, "should match pattern"),
    ({"http_header": {"name": "a"}}, "needs either values or regex_values"),
    ({"http_request_method": ["get"]}, "'get' is no method; write GET, in capitals and without wildcards"),
    ({"http_request_method": ["*"]}, "is no method"),
    ({"http_request_method": ["A" * 41]}, "is no method"),
    ({"http_request_method": []}, "at least 1 item"),
    ({"query_string": [{"key": "a"}]}, "Field required"),
    ({"query_string": [{"key": "a", "value": "x" * 129}]}, "at most 128 characters"),
    ({"query_string": []}, "at least 1 item"),
    ({"source_ip": ["192.0.2.256"]}, "'192.0.2.256' is no address range; write 192.0.2.0/24"),
    ({"source_ip": ["192.0.2.*"]}, "is no address range"),
    ({"source_ip": ["255.255.255.255/32"]}, "255.255.255.255/32 is nobody's address"),
    ({"source_ip": []}, "at least 1 item"),
]


@pytest.mark.parametrize(("data", "message"), REFUSED_CONDITIONS)
def test_refused_condition(data: Any, message: str) -> None:
    """A condition that ELB would not take is refused, with what to write instead."""
    assert message in objections(Condition, data)


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        *(
            (regex, "may use no look-around")
            for regex in ("(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", "(?<n>a)", "(?P<n>a)")
        ),
        *((regex, "back reference") for regex in (r"(a)\1", r"(?P=n)", "(?(1)a)", "(?#a)")),
        *((regex, "atomic or possessive group") for regex in ("(?>a)", "a++", "a*+", "a?+", "a{2}+")),
        *((regex, "no class by name") for regex in (r"\pL", r"\P{L}", "[[:alpha:]]", "[^[:digit:]]")),
        ("a{,3}", "no {,n}"),
        ("a\nb", "must be printable ASCII"),
        ("é", "must be printable ASCII"),
        ("[a", "is no regular expression"),
    ],
)
def test_refused_expression(regex: str, message: str) -> None:
    """What ELB does not take in an expression, or would mean something else to Python and to HAProxy, is refused."""
    assert message in objections(Condition, {"path_pattern": {"regex_values": [regex]}})
    assert message in objections(Rewrite, {"regex": regex, "replace": ""})


def test_conditions_as_they_are_kept() -> None:
    """Values may stand alone; ranges lose what lies beyond their length."""
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
        (rule({"path_pattern": list("abcdef")}), "holds 6 values; 5 are the most, write several rules"),
        (rule({"path_pattern": ["/a", "/b"]}, {"query_string": list("abcd")}), "holds 6 values"),
        (rule({"path_pattern": {"regex_values": ["a", "b", "c"]}}, {"source_ip": ["::1"] * 3}), "holds 6 values"),
        (rule({"path_pattern": ["/*/*/*/*/?/?"]}), "holds 6 wildcards; 5 are the most, write several rules"),
        (rule({"path_pattern": ["/***"]}, {"query_string": [{"key": "*", "value": "??"}]}), "holds 6 wildcards"),
        *(
            (rule({kind: [value]}, {kind: [value]}), f"holds {kind} twice; list its values in one")
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
    """A rule has at most five values and five wildcards, and each kind that ELB allows once, once."""
    assert message in objections(Rule, data)


def test_limits_of_a_rule_are_reached() -> None:
    """Five values and five wildcards are taken, escaped ones aside; headers and queries may come several times."""
    header = {"http_header": {"name": "a", "values": ["*"]}}
    query = {"query_string": [{"key": "\\*?", "value": "x"}]}
    found = Rule.model_validate(rule(header, header, query, query, {"path_pattern": ["/\\*\\?*"]}, priority=50000))
    assert sum(condition.count() for condition in found.conditions) == 5


REFUSED_ACTIONS: list[tuple[type[BaseModel], Any, str]] = [
    (Action, {}, "needs exactly one of forward, redirect and fixed_response"),
    (Action, {"forward": "web", **OK}, "needs exactly one of forward, redirect and fixed_response"),
    (Forward, [], "at least 1 item"),
    (Forward, list("abcdef"), "at most 5 items"),
    (Forward, ["a", "a"], "names a target group twice"),
    (Forward, [{"target_group": "a", "weight": 0}], "has no weight above 0, so nobody would get a request"),
    (Forward, [{"target_group": "a", "weight": 1000}], "less than or equal to 999"),
    (Forward, [{"target_group": "a", "weight": -1}], "greater than or equal to 0"),
    (Forward, [{"target_group": "a", "weight": True}], "must be a whole number, got true"),
    (Forward, {"target_groups": ["a"], "stickiness": {"duration": "500ms"}}, "must be between 1s and 7d"),
    (Forward, {"target_groups": ["a"], "stickiness": {"duration": "8d"}}, "must be between 1s and 7d"),
    (Forward, {"target_groups": ["a"], "stickiness": {}}, "Field required"),
    (Redirect, FOR_GOOD, "would send the client where it is; change protocol, host, port or path"),
    (Redirect, {**FOR_GOOD, "query": "a=1"}, "would send the client where it is"),
    (Redirect, {**FOR_GOOD, "host": "#{host}", "path": "/#{path}"}, "would send the client where it is"),
    (Redirect, {"port": "443"}, "Field required"),
    (Redirect, {"port": "443", "status_code": 301}, "HTTP_301"),
    (Redirect, {**FOR_GOOD, "port": "0"}, "must be between 1 and 65535"),
    (Redirect, {**FOR_GOOD, "port": 65536}, "must be between 1 and 65535"),
    (Redirect, {**FOR_GOOD, "port": "https"}, "should match pattern"),
    (Redirect, {**FOR_GOOD, "protocol": "https"}, "'HTTP', 'HTTPS' or '#{protocol}'"),
    (Redirect, {**FOR_GOOD, "path": "a"}, "should match pattern"),
    (Redirect, {**FOR_GOOD, "host": ""}, "at least 1 character"),
    (Redirect, {**FOR_GOOD, "host": "#{name}"}, "may hold #{protocol}, #{host}, #{port}, #{path} and #{query}"),
    (Redirect, {**FOR_GOOD, "path": "/a b"}, "must hold no space and only ASCII"),
    (Redirect, {**FOR_GOOD, "path": "/é"}, "must hold no space and only ASCII"),
    (Redirect, {**FOR_GOOD, "path": f"/{'a' * 128}"}, "at most 128 characters"),
    (FixedResponse, {"status_code": 302}, "should match pattern"),
    (FixedResponse, {"status_code": 100}, "should match pattern"),
    (FixedResponse, {"status_code": "2XX"}, "should match pattern"),
    (FixedResponse, {"status_code": True}, "valid string"),
    (FixedResponse, {"status_code": 200, "message_body": "x" * 1025}, "at most 1024 characters"),
    (FixedResponse, {"status_code": 200, "message_body": "a\0"}, "must be text"),
    (FixedResponse, {"status_code": 204, "message_body": "a"}, "is given, and an answer of status 204 has none"),
    (FixedResponse, {"status_code": 200, "content_type": "image/png"}, "'text/plain', 'text/css', 'text/html'"),
    (Rewrite, {"regex": "a", "replace": "$1"}, "names $1, but the regex has 0 groups"),
    (Rewrite, {"regex": "(a)", "replace": "$1$2"}, "names $2, but the regex has 1 groups"),
    (Rewrite, {"regex": "(a)", "replace": "$0"}, "names $0, but the regex has 1 groups"),
    (Rewrite, {"regex": "a", "replace": "a b"}, "must hold no space and only ASCII"),
    (Rewrite, {"regex": "a", "replace": "x" * 1025}, "at most 1024 characters"),
    (Rewrite, {"regex": "", "replace": "x"}, "at least 1 character"),
    (Rewrite, {"regex": "a" * 1025, "replace": "x"}, "at most 1024 characters"),
    (Claim, {"name": "iss", "values": ["a"]}, "iss is checked anyway"),
    (Claim, {"name": "a.b", "values": ["a"]}, "should match pattern"),
    (Claim, {"name": "a", "values": []}, "at least 1 item"),
    (Claim, {"name": "a", "values": list("abcdefghijk")}, "at most 10 items"),
    (Claim, {"name": "a", "values": ["a" * 257]}, "should match pattern"),
    (Claim, {"name": "a", "values": ["a\n"]}, "should match pattern"),
    (Claim, {"name": "a", "format": "space-separated-values", "values": ["a b"]}, "must hold no space"),
    (Claim, {"name": "a", "format": "list", "values": ["a"]}, "'single-string', 'string-array'"),
    (JwtValidation, {"jwks": "http://a.test/keys", "issuer": "a"}, "must be an https:// address or a file"),
    (JwtValidation, {"jwks": "a" * 257, "issuer": "a"}, "at most 256 characters"),
    (JwtValidation, {"jwks": "keys.json", "issuer": "a b"}, "should match pattern"),
    (JwtValidation, {"jwks": "keys.json", "issuer": ""}, "should match pattern"),
]


@pytest.mark.parametrize(("model", "data", "message"), REFUSED_ACTIONS)
def test_refused_action(model: type[BaseModel], data: Any, message: str) -> None:
    """An action that ELB would not take, or that could not be carried out, is refused with the reason."""
    assert message in objections(model, data)


def test_short_forms() -> None:
    """One group may stand alone, a port and a status be numbers; the rest has ELB's defaults."""
    (group,) = Action.model_validate({"forward": "web"}).groups()
    assert (group.target_group, group.weight) == ("web", 1)
    assert Redirect.model_validate({**FOR_GOOD, "port": 443}).port == "443"
    redirect = Redirect.model_validate({**FOR_GOOD, "path": "/x"})
    assert (redirect.protocol, redirect.host, redirect.port, redirect.query) == (
        "#{protocol}",
        "#{host}",
        "#{port}",
        "#{query}",
    )
    assert FixedResponse.model_validate({"status_code": 503}).content_type == "text/plain"


def test_tokens_only_over_https() -> None:
    """Tokens are only validated where they do not come in the clear; and priorities are unique in a listener."""
    guarded = {"jwt_validation": {"jwks": "keys.json", "issuer": "a"}, **OK}
    assert "must be HTTPS for jwt_validation" in objections(Listener, {"port": 80, "default_action": guarded})
    twice = [rule({"path_pattern": ["/a"]}), rule({"path_pattern": ["/b"]})]
    assert "holds two rules of priority 1" in objections(Listener, {"port": 80, "rules": twice, "default_action": OK})


# --- Keys of issuers

PUBLIC = generate_private_key(65537, 2048).public_key()
JWK = json.loads(RSAAlgorithm.to_jwk(PUBLIC))


def keys_of(directory: Path, *keys: Any) -> dict[str, str]:
    file = directory / "jwks.json"
    file.write_text(json.dumps({"keys": keys}))
    return read_key_set(str(file)).keys


def test_keys_are_read(tmp_path: Path) -> None:
    """RSA keys for signing are read by their ID, whatever `alg` they name; keys for something else are left out."""
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
    """An issuer that publishes a private key by mistake gives away nothing more through the balancer's files."""
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
        ('{"keys": []}', "holds 0 RSA keys for signing with an ID; 1 to 10 are needed"),
        (json.dumps({"keys": [JWK]}), "is not a valid key set (JWKS): 'kid' is missing"),
        (
            json.dumps({"keys": [{**JWK, "kid": "a", "n": "!"}]}),
            "(JWKS): Unable to construct key",
        ),
        (json.dumps({"keys": [{**JWK, "kid": "a\nglobal"}]}), "the ID of a key is not printable ASCII"),
        (json.dumps({"keys": [{**JWK, "kid": ""}]}), "the ID of a key is not printable ASCII"),
        (json.dumps({"keys": [{**JWK, "kid": str(n)} for n in range(11)]}), "holds 11 RSA keys"),
        (json.dumps({"keys": [{**JWK, "kid": "a"}], "x": "x" * 2**18}), "is larger than 150 KiB"),
    ],
)
def test_refused_keys(tmp_path: Path, content: str, message: str) -> None:
    """A file that is not a valid key set, or could become something else in a configuration, is refused as a whole."""
    file = tmp_path / "jwks.json"
    file.write_text(content)
    with pytest.raises(ConfigError) as refused:
        read_key_set(str(file))
    assert message in str(refused.value)
    assert str(file) in str(refused.value)


def test_missing_keys(tmp_path: Path) -> None:
    """A file that is not there is named, with the reason."""
    with pytest.raises(ConfigError, match=r"jwks\.json cannot be read: No such file"):
        read_key_set(str(tmp_path / "jwks.json"))
