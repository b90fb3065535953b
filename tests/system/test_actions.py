"""Actions: fixed responses, redirects, transforms, weighted forwarding and token validation."""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
import trustme
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pipeline.balancer.model import Target
from tests.support.ports import free_ports
from tests.support.waiting import DEADLINE, until
from tests.system.alb import Alb

Json = Mapping[str, Any]


def by_header(priority: int, **rule: Any) -> dict[str, Any]:
    """Return a rule for the requests that name its priority in X-Case."""
    asked = {"http_header": {"name": "X-Case", "values": [str(priority)]}}
    return {"priority": priority, "conditions": [asked], **rule}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alb]:
    """A load balancer for tests that change nothing in it."""
    alb = Alb(tmp_path_factory.mktemp("actions") / "balancer")
    groups: dict[str, Json] = {name: {} for name in ("web", "blue", "green", "red")}
    listeners = [{"port": port, "default_action": says(name)} for port, name in ((PORTS["b"], "b"), (PORTS["g"], "g"))]
    rules = [
        *(by_header(100 + n, action={"fixed_response": dict(case)}) for n, case in enumerate(FIXED)),
        *(by_header(200 + n, action={"redirect": dict(case)}) for n, (case, *_) in enumerate(REDIRECTS)),
        *(by_header(300 + n, **rewriting(*case[:3])) for n, case in enumerate(REWRITES)),
    ]
    alb.declare({"rules": rules, "default_action": says("nobody")}, *listeners, groups=groups)
    try:
        alb.serve("w")
        yield alb
    finally:
        alb.end()


def says(text: str, status: int = 200) -> dict[str, Any]:
    return {"fixed_response": {"status_code": status, "message_body": f"<{text}>"}}


PORTS = dict(zip("bg", free_ports(2), strict=True))


class Certificate:
    """A certificate for this machine, and a client that trusts it."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        file = directory / "certificate.pem"
        issued = authority.issue_cert("shop.test", "127.0.0.1")
        file.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
        self.listener = {"protocol": "HTTPS", "certificates": [{"certificate": str(file)}]}
        self._context = ssl.create_default_context()
        authority.configure_trust(self._context)

    def ask(self, port: int, path: str = "/", headers: Mapping[str, str] | None = None) -> tuple[int, str | None]:
        """The status, and where it leads."""
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=self._context, timeout=DEADLINE)
        with closing(connection):
            connection.request("GET", path, headers=dict(headers or {}))
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.getheader("location")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))


# --- Fixed responses

BODIES = [
    "plain",
    'it\'s "quoted" and `ticked` and \\escaped\\ \\x41 \\n',
    "two\nlines\r\n\tand a tab\n",
    " spaces around ",
    "ünïcödé € 漢字 \U0001f600",
    "100 % %[src] %ci %%",
    "#{host} #{path} # no comment",
    "$HOME ${HOME} $(date) ~",
    "{ } ; , ( ) [ ] if unless",
    "x" * 1024,
    "€" * 1024,
    "'" * 1024,
    "\x01\x7f",
    "-",
]
FIXED: list[Json] = [
    *({"status_code": 200, "message_body": body} for body in BODIES),
    *(
        {"status_code": 200, "message_body": "{}", "content_type": kind}
        for kind in ("text/plain", "text/css", "text/html", "application/javascript", "application/json")
    ),
    *({"status_code": code, "message_body": "x"} for code in (201, 299, 400, 401, 404, 418, 429, 499, 500, 503, 599)),
    *({"status_code": code} for code in (200, 204, 404, 503)),
]


@pytest.mark.parametrize("number", range(len(FIXED)))
def test_fixed_response(shared: Alb, number: int) -> None:
    """A fixed response has the declared status, content type and every byte of the body."""
    case = FIXED[number]
    answer = shared.ask("/", "GET", ("X-Case", str(100 + number)))
    assert answer.status == case["status_code"]
    assert answer.text == case.get("message_body", "")
    if answer.body:
        assert answer.header("content-type") == case.get("content_type", "text/plain")
    head = shared.ask("/", "HEAD", ("X-Case", str(100 + number)))
    assert (head.status, head.body) == (answer.status, b"")


def test_fixed_response_keeps_the_connection(shared: Alb) -> None:
    """The connection stays usable after fixed responses with and without a body."""
    with closing(http.client.HTTPConnection("127.0.0.1", shared.port, timeout=DEADLINE)) as connection:
        statuses = []
        for number in (100, 100 + len(FIXED) - 3, 100 + len(FIXED) - 1, 100):
            connection.request("POST", "/", body=b"something", headers={"X-Case": str(number)})
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
    assert statuses == [200, 204, 503, 200]


# --- Redirects

PERMANENT, FOUND = {"status_code": "HTTP_301"}, {"status_code": "HTTP_302"}
# The declaration, the request and the location. PORT is the listener's, PROTOCOL what it speaks.
REDIRECTS: list[tuple[Json, str, str]] = [
    ({**PERMANENT, "protocol": "HTTPS", "port": "443"}, "/a/b?x=1&y", "https://a.test:443/a/b?x=1&y"),
    ({**PERMANENT, "protocol": "HTTPS", "port": 443}, "/", "https://a.test:443/"),
    ({**PERMANENT, "protocol": "HTTPS", "port": "443"}, "/?", "https://a.test:443/"),
    ({**FOUND, "protocol": "HTTPS"}, "/a", "https://a.test:PORT/a"),
    ({**FOUND, "host": "new.test"}, "/a?b", "PROTOCOL://new.test:PORT/a?b"),
    ({**FOUND, "host": "www.#{host}"}, "/a", "PROTOCOL://www.a.test:PORT/a"),
    ({**FOUND, "port": "8443"}, "/a", "PROTOCOL://a.test:8443/a"),
    ({**FOUND, "path": "/new/#{path}"}, "/a/b?c", "PROTOCOL://a.test:PORT/new/a/b?c"),
    ({**FOUND, "path": "/new/#{path}"}, "/", "PROTOCOL://a.test:PORT/new/"),
    ({**FOUND, "path": "/new/#{path}"}, "/a%20b%2Fc%25", "PROTOCOL://a.test:PORT/new/a%20b%2Fc%25"),
    ({**FOUND, "path": "/#{protocol}/#{host}/#{port}"}, "/x", "PROTOCOL://a.test:PORT/PROTOCOL/a.test/PORT"),
    ({**FOUND, "path": "/x", "query": ""}, "/a?b=1", "PROTOCOL://a.test:PORT/x"),
    ({**FOUND, "path": "/x", "query": "a=1"}, "/a?b=1", "PROTOCOL://a.test:PORT/x?a=1"),
    ({**FOUND, "path": "/x", "query": "#{query}&v=1"}, "/a?b=1", "PROTOCOL://a.test:PORT/x?b=1&v=1"),
    ({**FOUND, "path": "/x", "query": "from=#{path}"}, "/a/b?c", "PROTOCOL://a.test:PORT/x?from=a/b"),
    ({**FOUND, "path": "/x", "query": "#{protocol}#{host}#{port}"}, "/", "PROTOCOL://a.test:PORT/x?PROTOCOLa.testPORT"),
    (
        {**FOUND, "path": "/100%/'q'\"\\,;()[]{}$&#x/%[src]%ci"},
        "/",
        "PROTOCOL://a.test:PORT/100%/'q'\"\\,;()[]{}$&#x/%[src]%ci",
    ),
    ({**FOUND, "host": "#{host}", "port": "#{port}", "path": "/#{path}/"}, "/a", "PROTOCOL://a.test:PORT/a/"),
    ({**FOUND, "path": "/#{path}x"}, "//evil.test", "PROTOCOL://a.test:PORT//evil.testx"),
]


def located(case: tuple[Json, str, str], protocol: str, port: int) -> str:
    return case[2].replace("PROTOCOL", protocol).replace("PORT", str(port))


@pytest.mark.parametrize("number", range(len(REDIRECTS)))
def test_redirect(shared: Alb, number: int) -> None:
    """A redirect changes the declared parts and keeps the others. Without a query it has no question mark."""
    case = REDIRECTS[number]
    answer = shared.ask(case[1], "GET", ("X-Case", str(200 + number)), host="a.test:99")
    assert f"HTTP_{answer.status}" == case[0]["status_code"]
    assert answer.header("location") == located(case, "http", shared.port)


def test_redirect_of_an_address(shared: Alb) -> None:
    """A host that is an IPv6 address is kept whole."""
    number = next(n for n, (case, *_) in enumerate(REDIRECTS) if case.get("port") == "8443")
    for host in ("[::1]:80", "[::1]"):
        answer = shared.ask("/", "GET", ("X-Case", str(200 + number)), host=host)
        assert answer.header("location") == "http://[::1]:8443/"


def test_redirect_keeps_https(alb: Alb, certificate: Certificate) -> None:
    """On an HTTPS listener, a redirect without a protocol stays on HTTPS."""
    secure = [
        (number, case) for number, case in enumerate(REDIRECTS, start=1) if case[0].get("protocol", "HTTPS") == "HTTPS"
    ]
    rules = [by_header(number, action={"redirect": dict(case[0])}) for number, case in secure]
    alb.declare({**certificate.listener, "rules": rules, "default_action": says("nobody")})
    for number, case in secure:
        _, location = certificate.ask(alb.port, case[1], {"Host": "a.test", "X-Case": str(number)})
        assert location == located(case, "https", alb.port)


# --- Transforms

URL, HOST = "url_rewrite", "host_header_rewrite"
# Transform, expression, replacement, request and what the target gets, or None on failure.
REWRITES: list[tuple[str, str, str, str, str | None]] = [
    (URL, "^/api/(.*)$", "/$1", "/api/a/b?c=d", "/a/b?c=d"),
    (URL, "^/api/v([0-9]+)/", "/$1/", "/api/v12/x/api/v1/", "/12/x/api/v1/"),
    (URL, r"^/a/([^?]*)\?(.*)$", "/$2?p=$1", "/a/b%20c?x=1&y", "/x=1&y?p=b%20c"),
    (URL, r"\?.*$", "", "/a?b=c", "/a"),
    (URL, "$", "?added=1", "/a", "/a?added=1"),
    (URL, "nowhere", "/x", "/a?b", "/a?b"),
    (URL, "A", "x", "/a", "/a"),
    (URL, "(?i)A", "x", "/a", "/x"),
    (URL, "b|c", "x", "/abc", "/axc"),
    (URL, "(a)(b)?", "$1$2$2", "/ac", "/ac"),
    (URL, "(.)(.)(.)(.)(.)(.)(.)(.)(.)", "/$9$8$7$6$5$4$3$2", "/23456789x", "/98765432x"),
    (URL, r"a\.b\\\"'", "x", "/a.b\\\"'", "/x"),
    (URL, r"\$[(]x[)]%%[]]", "x", "/$(x)%%]", "/x"),
    (URL, "[\"'],", "x", "/a',", "/ax"),
    (URL, "a", "\\1\\x41\\", "/a", "/\\1\\x41\\"),
    (URL, "a", "&%[src]%ci%", "/a", "/&%[src]%ci%"),
    (URL, "a", "\"'`$,)(;{}", "/a", "/\"'`$,)(;{}"),
    (URL, "(a)", "$1$", "/a", "/a$"),
    (URL, "^/api", "", "/api/x", "/x"),
    (URL, "^/api", "", "/api", None),
    (URL, "^/", "", "/x", None),
    (URL, ".*", "", "/a?b", None),
    (URL, "^/", "http://evil.test/", "/x", None),
    (HOST, r"^(.+)\.test$", "$1.internal", "shop.test", "shop.internal"),
    (HOST, r"^(.+)\.test$", "$1.internal", "shop.test:99", "shop.internal"),
    (HOST, "^mywebsite-(.+).com$", "internal.dev.$1.myweb.com", "mywebsite-a.com", "internal.dev.a.myweb.com"),
    (HOST, "nowhere", "x", "shop.test", "shop.test"),
    (HOST, ".*", "", "shop.test", None),
]


def rewriting(transform: str, regex: str, replace: str) -> dict[str, Any]:
    return {"transforms": {transform: {"regex": regex, "replace": replace}}, "action": {"forward": "web"}}


@pytest.mark.parametrize("number", range(len(REWRITES)))
def test_transform(shared: Alb, number: int) -> None:
    """The first match is replaced, with groups, and no other character is special."""
    transform, _, _, asked, expected = REWRITES[number]
    target, host = (asked, "shop.test") if transform == URL else ("/", asked)
    answer = shared.ask(target, "GET", ("X-Case", str(300 + number)), host=host)
    if expected is None:
        assert answer.status == 500
        return
    got = answer.seen["path"] if transform == URL else answer.seen_header("host")
    assert got == (expected if transform == URL else f"{expected}:{shared.port}")


def test_conditions_see_the_original(alb: Alb) -> None:
    """Rules see the client's request, and only the matching rule transforms it."""
    both = {URL: {"regex": "^/a", "replace": "/b"}, HOST: {"regex": "^a", "replace": "b"}}
    rules = [
        {"priority": 1, "conditions": [{"path_pattern": ["/b*"]}], "action": says("one")},
        {
            "priority": 2,
            "conditions": [{"path_pattern": ["/a*"]}, {"host_header": ["a.test"]}],
            "transforms": both,
            "action": {"forward": "web"},
        },
        {"priority": 3, "conditions": [{"host_header": ["b.test"]}], "action": says("three")},
        {
            "priority": 4,
            "conditions": [{"path_pattern": ["*"]}],
            "transforms": {URL: {"regex": "^", "replace": "/never"}},
            "action": says("four"),
        },
    ]
    alb.declare({"rules": rules, "default_action": says("default")})
    alb.serve("w")
    answer = alb.ask("/a?x", host="a.test")
    assert (answer.seen["path"], answer.seen_header("host")) == ("/b?x", f"b.test:{alb.port}")
    assert [alb.ask("/b", host="a.test").text, alb.ask("/a", host="b.test").text] == ["<one>", "<three>"]


def test_a_host_without_a_match_keeps_its_port(alb: Alb) -> None:
    """A transform without a match leaves a preserved Host header unchanged."""
    transforms = {HOST: {"regex": "^a", "replace": "b"}}
    rules = [
        {"priority": 1, "conditions": [{"path_pattern": ["*"]}], "transforms": transforms, "action": {"forward": "web"}}
    ]
    preserve = {"routing.http.preserve_host_header.enabled": True}
    alb.declare({"rules": rules, "default_action": says("default")}, attributes=preserve)
    alb.serve("w")
    assert alb.ask(host="shop.test:99").seen_header("host") == "shop.test:99"
    assert alb.ask(host="a.test:99").seen_header("host") == "b.test"


# --- Forwarding by weight


class Weighted:
    """Target groups whose targets are listeners that respond with the group's name, and a listener over them."""

    def __init__(self, alb: Alb) -> None:
        self.alb = alb
        self.groups = ("blue", "green", "red")
        self.ports = dict(zip(self.groups, free_ports(3), strict=True))

    def weigh(self, *weights: int, stickiness: str | None = None, rules: int = 0) -> None:
        shares = [{"target_group": g, "weight": w} for g, w in zip(self.groups, weights, strict=False)]
        forward = {"target_groups": shares, **({"stickiness": {"duration": stickiness}} if stickiness else {})}
        answers = [{"port": self.ports[group], "default_action": says(group)} for group in self.groups]
        more = [
            {"priority": n, "conditions": [{"path_pattern": [f"/{n}"]}], "action": {"forward": forward}}
            for n in range(1, rules + 1)
        ]
        self.alb.declare(
            {"rules": more, "default_action": {"forward": forward}},
            *answers,
            groups={group: {} for group in self.groups},
        )

    def serve(self) -> None:
        for group, port in self.ports.items():
            self.alb.balancer.register("shop", group, Target(id=group, address="127.0.0.1", port=port))
        for group in self.groups:
            until(lambda group=group: [s for _, s in self.alb.states(group)] == ["healthy"], "it is healthy")  # type: ignore[misc]

    def ask(self, cookie: str | None = None, path: str = "/") -> str:
        """The group that answers a request."""
        answer = self.alb.ask(path, "GET", *([("Cookie", cookie)] if cookie is not None else []))
        assert answer.status == 200
        return answer.text.strip("<>")

    def shares(self, requests: int) -> Counter[str]:
        """Return the number of responses of each group, for sequential requests on one connection."""
        with socket.create_connection(("127.0.0.1", self.alb.port), timeout=DEADLINE) as connection:
            found = Counter[str]()
            for _ in range(requests // 100):
                connection.sendall(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n" * 100)
                answers = b""
                while answers.count(b"<") < 100 or not answers.endswith(b">"):
                    answers += connection.recv(65536)
                found.update(name.decode() for name in re.findall(rb"<(\w+)>", answers))
        return found


@pytest.fixture
def weighted(alb: Alb) -> Weighted:
    weighted = Weighted(alb)
    weighted.weigh(1, 1, 1)
    weighted.serve()
    return weighted


def test_forward_by_weight(weighted: Weighted) -> None:
    """Of 10,000 requests, each group gets its share within two points, and weight 0 gets none."""
    for weights in ((70, 20, 10), (999, 0, 1), (0, 1, 0), (1, 1, 1)):
        weighted.weigh(*weights)
        shares = weighted.shares(10_000)
        for group, weight in zip(weighted.groups, weights, strict=True):
            assert abs(shares[group] / 10_000 - weight / sum(weights)) <= 0.02
            assert weight or not shares[group]


def test_forward_by_weight_is_changed_while_it_runs(alb: Alb) -> None:
    """Weights move all requests from one group to the other without a reload."""
    groups: dict[str, dict[str, object]] = {"blue": {}, "green": {}}

    def weigh(blue: int, green: int) -> None:
        shares = [{"target_group": "blue", "weight": blue}, {"target_group": "green", "weight": green}]
        alb.declare({"default_action": {"forward": shares}}, groups=groups)

    weigh(1, 0)
    alb.serve("b", group="blue")
    alb.serve("g", group="green")
    assert {alb.ask().seen["server"] for _ in range(20)} == {"b"}
    worker = alb.worker()
    weigh(0, 1)
    assert {alb.ask().seen["server"] for _ in range(20)} == {"g"}
    assert alb.worker() == worker


def test_many_weights_change_at_once(weighted: Weighted) -> None:
    """Weights of 80 rules, more than one command holds, change together without a reload."""
    weighted.weigh(1, 0, 0, stickiness="1m", rules=80)
    worker = weighted.alb.worker()
    weighted.weigh(0, 1, 0, stickiness="1m", rules=80)
    assert {weighted.ask(path=f"/{number}") for number in (0, 1, 40, 80)} == {"green"}
    assert weighted.alb.worker() == worker


def test_weights_change_under_load(weighted: Weighted) -> None:
    """After `apply` returns no request goes to a group of weight 0, and none fails."""
    stop, seen, failures = threading.Event(), list[tuple[float, float, str]](), list[str]()

    def load() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", weighted.alb.port, timeout=DEADLINE)) as connection:
            while not stop.is_set():
                begun = time.monotonic()
                connection.request("GET", "/")
                answer = connection.getresponse()
                text = answer.read().decode().strip("<>")
                seen.append((begun, time.monotonic(), text))
                failures.extend([] if answer.status == 200 else [str(answer.status)])

    weighted.weigh(1, 0, 0)
    worker = weighted.alb.worker()
    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    spans = []
    for number in range(20):
        weighted.weigh(*(number % 2, 1 - number % 2, 0))
        returned, before = time.monotonic(), len(seen)
        until(lambda before=before: len(seen) > before + 20, "requests go on")  # type: ignore[misc]
        spans.append((returned, time.monotonic(), weighted.groups[1 - number % 2]))
    stop.set()
    for thread in threads:
        thread.join()
    for returned, changed, group in spans:
        assert {name for begun, ended, name in seen if returned < begun and ended < changed} == {group}
    assert failures == []
    assert weighted.alb.worker() == worker


# --- Stickiness of groups


def cookies(weighted: Weighted) -> tuple[str, dict[str, str]]:
    """Return the group that a new client gets, and its cookies."""
    answer = weighted.alb.ask()
    pairs = [cookie.partition(";")[0].partition("=") for cookie in answer.all("set-cookie")]
    return answer.text.strip("<>"), {name: value for name, _, value in pairs}


def test_sticky_clients_stay(weighted: Weighted) -> None:
    """Each session stays with its first group, and all groups get sessions."""
    weighted.weigh(1, 1, 1, stickiness="1m")
    firsts = set()
    for _ in range(25):
        with requests.Session() as session:
            texts = [session.get(f"http://127.0.0.1:{weighted.alb.port}/").text for _ in range(6)]
        assert len(set(texts)) == 1
        firsts.add(texts[0])
    assert firsts == {"<blue>", "<green>", "<red>"}


def test_sticky_cookies(weighted: Weighted) -> None:
    """Each response sets two cookies, one for cross-site requests, and either keeps a client."""
    weighted.weigh(1, 1, 1, stickiness="1m")
    one, other = weighted.alb.ask().all("set-cookie")
    assert re.fullmatch(r"AWSALBTG=\S+; Max-Age=604800; Path=/", one)
    assert re.fullmatch(r"AWSALBTGCORS=\S+; Max-Age=604800; Path=/; SameSite=None; Secure", other)
    group, values = cookies(weighted)
    for name in ("AWSALBTG", "AWSALBTGCORS"):
        assert {weighted.ask(f"a=b; {name}={values[name]}; c=d") for _ in range(25)} == {group}


def test_stickiness_ends(weighted: Weighted) -> None:
    """A cookie counts for the declared duration and not longer."""
    weighted.weigh(1, 1, 1, stickiness="1s")
    begun = time.monotonic()
    group, values = cookies(weighted)
    cookie = f"AWSALBTG={values['AWSALBTG']}"
    asked = [group]
    while True:
        again = weighted.ask(cookie)
        if time.monotonic() > begun + 1:
            break
        asked.append(again)
    assert set(asked) == {group}
    until(lambda: weighted.ask(cookie) != group, "the cookie counts no more")
    assert {weighted.ask(cookie) for _ in range(40)} == set(weighted.groups)


def test_forged_cookies_count_for_nothing(weighted: Weighted) -> None:
    """A client with a forged cookie gets a group and a cookie like a new client."""
    weighted.weigh(1, 1, 1, stickiness="1m")
    _, values = cookies(weighted)
    moment, _, identity = values["AWSALBTG"].partition(".")
    soon = int(moment)
    forged = ["", "x", ".", "..", str(soon), f"{soon}.", f"{soon}.x", f"{soon}.1", f"{soon}.duration", f"x.{identity}"]
    forged += [f"{soon + 3600}.{identity}", f"99999999999999999999.{identity}", f"-1.{identity}", f"{soon}.{identity}x"]
    forged += [f"1.{identity}", f".{identity}", f"{soon}..{identity}", "9" * 4000, f"{soon}. {identity}", "%00"]
    for value in forged:
        assert {weighted.ask(f"AWSALBTG={value}") for _ in range(40)} == set(weighted.groups), value


def test_a_group_of_weight_0_keeps_no_client(weighted: Weighted) -> None:
    """Clients of a group whose weight becomes 0 move to another one and stay there."""
    weighted.weigh(1, 0, 0, stickiness="1m")
    group, values = cookies(weighted)
    assert group == "blue"
    worker = weighted.alb.worker()
    weighted.weigh(0, 1, 0, stickiness="1m")
    answer = weighted.alb.ask("/", "GET", ("Cookie", f"AWSALBTG={values['AWSALBTG']}"))
    assert answer.text == "<green>"
    fresh = answer.all("set-cookie")[0].partition(";")[0]
    weighted.weigh(1, 1, 0, stickiness="1m")
    assert {weighted.ask(fresh) for _ in range(25)} == {"green"}
    assert weighted.alb.worker() == worker


# --- Validation of tokens

ISSUER = "https://issuer.test/it's"
# Where each additional claim is asked for.
CLAIMS: dict[str, list[dict[str, Any]]] = {
    "/any": [],
    "/string": [{"name": "role", "values": ["ad min", "o.s"]}],
    "/array": [{"name": "groups", "format": "string-array", "values": ["admin", "o.s"]}],
    "/spaces": [{"name": "scope", "format": "space-separated-values", "values": ["read", "o.s"]}],
    "/all": [
        {"name": "role", "values": ["admin"]},
        {"name": "groups", "format": "string-array", "values": ["admin"]},
        {"name": "scope", "format": "space-separated-values", "values": ["read"]},
    ],
}
ALL = {"role": "admin", "groups": ["admin"], "scope": "read"}
HOUR = 3600


class Issuer:
    """An issuer of tokens, with a file of its public keys."""

    def __init__(self, directory: Path) -> None:
        self.key, self.stranger = (generate_private_key(65537, 2048) for _ in range(2))
        self.file = directory / "jwks.json"
        self.publish(one=self.key)

    def publish(self, **keys: RSAPrivateKey) -> None:
        found = [
            {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}
            for kid, key in keys.items()
        ]
        self.file.write_text(json.dumps({"keys": found}))

    def token(self, claims: Json | None = None, *, key: Any = None, kid: str = "one", algorithm: str = "RS256") -> str:
        """Return a valid token with these claims. Claims that are None are left out."""
        whole = {"iss": ISSUER, "exp": int(time.time()) + HOUR, **(claims or {})}
        given = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(given, key or self.key, algorithm, headers={"kid": kid})

    def forged(self) -> str:
        """Return a token whose HMAC uses the public key as its secret, as `HS256` would."""
        public = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        head, payload = (_encoded(part) for part in ({"alg": "HS256", "kid": "one"}, {"iss": ISSUER, "exp": 2**31}))
        signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
            f"{head}.{payload}".encode(), public
        )
        return f"{head}.{payload}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"

    def unsigned(self) -> str:
        return f"{_encoded({'alg': 'none', 'kid': 'one'})}.{_encoded({'iss': ISSUER, 'exp': 2**31})}."


def _encoded(part: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


class Guarded:
    """An HTTPS listener whose rules validate tokens."""

    def __init__(self, alb: Alb, certificate: Certificate, issuer: Issuer) -> None:
        self.alb, self.issuer, self._certificate = alb, issuer, certificate
        rules = [
            {
                "priority": number,
                "conditions": [{"path_pattern": [path]}],
                "action": {
                    "jwt_validation": {"jwks": str(issuer.file), "issuer": ISSUER, "additional_claims": claims},
                    **says(path),
                },
            }
            for number, (path, claims) in enumerate(CLAIMS.items(), start=1)
        ]
        alb.declare({**certificate.listener, "rules": rules, "default_action": says("open", 201)})

    def ask(self, path: str, token: str | None, scheme: str = "Bearer") -> int:
        headers = {} if token is None else {"Authorization": f"{scheme} {token}"}
        return self._certificate.ask(self.alb.port, path, headers)[0]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[Guarded]:
    directory = tmp_path_factory.mktemp("tokens")
    alb = Alb(directory / "balancer")
    try:
        yield Guarded(alb, certificate, Issuer(directory))
    finally:
        alb.end()


def test_good_token(guarded: Guarded) -> None:
    """A valid token lets a request through, and a rule without validation needs none."""
    now = int(time.time())
    for claims in ({}, {"nbf": now - 5, "iat": now - 5}, {"nbf": now, "iat": now}, {"exp": now + HOUR + 0.5}):
        assert guarded.ask("/any", guarded.issuer.token(claims)) == 200
    assert guarded.ask("/any", guarded.issuer.token(), scheme="bearer") == 200
    assert guarded.ask("/all", guarded.issuer.token(ALL)) == 200
    assert guarded.ask("/other", None) == 201


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.test"},
        {"iss": None},
        {"iss": ISSUER + "/"},
        {"iss": [ISSUER]},
        {"iss": None, "x": {"iss": ISSUER}},
        {"exp": None},
        {"exp": -1},
        {"exp": 0},
        {"exp": -HOUR},
        {"exp": True},
        {"exp": "never"},
        {"exp": None, "x": {"exp": 9999999999}},
        {"nbf": HOUR},
        {"iat": HOUR},
        {"nbf": -5, "iat": HOUR},
        {"nbf": HOUR + 0.5},
    ],
)
def test_bad_claims(guarded: Guarded, claims: dict[str, Any]) -> None:
    """A token of another issuer, expired or not yet valid, gets 401."""
    now = int(time.time())
    moments = {
        name: now + value if name in ("exp", "nbf", "iat") and type(value) in (int, float) else value
        for name, value in claims.items()
    }
    # PyJWT does not sign an issuer that is not a string.
    token = _signed(guarded.issuer.key, {"iss": ISSUER, "exp": now + HOUR, **moments})
    assert guarded.ask("/any", token) == 401


def _signed(key: RSAPrivateKey, claims: Json) -> str:
    payload = json.dumps({name: value for name, value in claims.items() if value is not None}).encode()
    return jwt.PyJWS().encode(payload, key, "RS256", headers={"kid": "one"})


def test_bad_tokens(guarded: Guarded) -> None:
    """A missing, damaged, wrongly signed or unsigned token gets 401."""
    issuer = guarded.issuer
    good = issuer.token()
    head, payload, signature = good.split(".")
    other = issuer.token({"sub": "other"}).split(".")[1]
    tokens = {
        "none": None,
        "empty": "",
        "garbage": "x",
        "cut": f"{head}.{payload}",
        "no signature": f"{head}.{payload}.",
        "changed": f"{head}.{other}.{signature}",
        "stranger's": issuer.token(key=issuer.stranger),
        "unknown key": issuer.token(kid="two"),
        "unsigned": issuer.unsigned(),
        "HS256": issuer.forged(),
        "RS512": issuer.token(algorithm="RS512"),
        "PS256": issuer.token(algorithm="PS256"),
    }
    assert {name: guarded.ask("/any", token) for name, token in tokens.items()} == dict.fromkeys(tokens, 401)
    assert guarded.ask("/any", good, scheme="Basic") == 401


@pytest.mark.parametrize(
    ("path", "claims", "status"),
    [
        ("/string", {"role": "ad min"}, 200),
        ("/string", {"role": "o.s"}, 200),
        ("/string", {"x": '"role": "no"', "role": "o.s"}, 200),
        ("/string", {}, 401),
        ("/string", {"role": "oxs"}, 401),
        ("/string", {"role": "ad min "}, 401),
        ("/string", {"role": "AD MIN"}, 401),
        ("/string", {"role": ["o.s"]}, 401),
        ("/string", {"roles": "o.s", "rol": "o.s"}, 401),
        ("/string", {"x": {"role": "o.s"}}, 401),
        ("/string", {"x": [{"role": "o.s"}], "role": "no"}, 401),
        ("/array", {"groups": ["admin"]}, 200),
        ("/array", {"groups": ["a", "o.s", "b"]}, 200),
        ("/array", {"groups": [1, None, ["x"], {"y": "z"}, "admin"]}, 200),
        ("/array", {"x": {"groups": ["no"]}, "groups": ["admin"]}, 200),
        ("/array", {"a": ["b"], "c": {"d": [{"e": "]}"}]}, "f": '"groups":["no"', "groups": ["x", "admin"]}, 200),
        ("/array", {}, 401),
        ("/array", {"groups": []}, 401),
        ("/array", {"groups": "admin"}, 401),
        ("/array", {"groups": ["oxs", "Admin", "admin ", "xadmin"]}, 401),
        ("/array", {"groups": [["admin"], {"a": "admin"}]}, 401),
        ("/array", {"groups": ["x"], "other": ["admin"]}, 401),
        ("/array", {"other": ["admin"]}, 401),
        ("/array", {"x": {"groups": ["admin"]}}, 401),
        ("/array", {"x": [{"groups": ["admin"]}], "groups": ["no"]}, 401),
        ("/array", {"x": '"groups":["admin"]', "y": '","groups":["admin"],"z":"'}, 401),
        ("/array", {"groups": ['x","admin']}, 401),
        ("/spaces", {"scope": "read"}, 200),
        ("/spaces", {"scope": "write o.s"}, 200),
        ("/spaces", {"scope": "a read b"}, 200),
        ("/spaces", {}, 401),
        ("/spaces", {"scope": "reader bread oxs READ"}, 401),
        ("/spaces", {"scope": ["read"]}, 401),
        ("/spaces", {"x": {"scope": "read"}}, 401),
        ("/all", {**ALL, "role": "no"}, 401),
        ("/all", {**ALL, "groups": ["no"]}, 401),
        ("/all", {**ALL, "scope": "no"}, 401),
    ],
)
def test_additional_claims(guarded: Guarded, path: str, claims: dict[str, Any], status: int) -> None:
    """A claim must hold one of the values itself, not within another claim or a text."""
    assert guarded.ask(path, guarded.issuer.token(claims)) == status


@pytest.mark.parametrize("filler", ["a" * 9000, ["a"] * 1500, [[[["a"]]]] * 700, ['"\\'] * 1000, {"b": ["c" * 8000]}])
def test_long_token(guarded: Guarded, filler: Any) -> None:
    """A token may be as long as a request, with the claim anywhere in it."""
    for claims in ({"x": filler, "groups": ["admin"]}, {"groups": ["x", "admin"], "y": filler}):
        assert guarded.ask("/array", guarded.issuer.token(claims)) == 200
    assert guarded.ask("/array", guarded.issuer.token({"x": filler, "groups": ["x"]})) == 401


def test_keys_change(alb: Alb, certificate: Certificate, tmp_path: Path) -> None:
    """Changed keys apply after the next maintenance, and a damaged file changes nothing."""
    issuer = Issuer(tmp_path)
    guarded = Guarded(alb, certificate, issuer)
    earlier, later = issuer.token(), issuer.token(key=issuer.stranger, kid="two")
    assert [guarded.ask("/any", token) for token in (earlier, later)] == [200, 401]
    issuer.publish(one=issuer.key, two=issuer.stranger)
    alb.balancer.ensure_running()
    assert [guarded.ask("/any", token) for token in (earlier, later)] == [200, 200]
    issuer.publish(two=issuer.stranger)
    alb.balancer.ensure_running()
    assert [guarded.ask("/any", token) for token in (earlier, later)] == [401, 200]
    issuer.file.write_text("{")
    alb.balancer.ensure_running()
    assert [guarded.ask("/any", token) for token in (earlier, later)] == [401, 200]
