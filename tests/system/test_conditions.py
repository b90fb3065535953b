"""The meaning of each condition for HAProxy and the model, by requests that match and that do not."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from pipeline.balancer.matching import HttpRequest, match
from pipeline.balancer.model import Declaration, Rule
from tests.support.ports import free_ports
from tests.support.waiting import DEADLINE, until
from tests.system.alb import Alb

Conditions = list[dict[str, Any]]

MATCHED, MISSED = 200, 404


def asks(
    target: str = "/",
    method: str = "GET",
    *headers: tuple[str, str],
    host: str = "shop.test",
    source: str = "127.0.0.1",
) -> HttpRequest:
    path, mark, query = target.partition("?")
    return HttpRequest(method, host, path, query if mark else None, headers, source)


def hosts(*names: str) -> list[HttpRequest]:
    return [asks(host=name) for name in names]


def paths(*targets: str) -> list[HttpRequest]:
    return [asks(target) for target in targets]


def values(*texts: str, name: str = "X-A") -> list[HttpRequest]:
    return [asks("/", "GET", (name, text)) for text in texts]


def sent(method: str, *headers: str) -> HttpRequest:
    """Return headers as `name: value`."""
    return asks("/", method, *((name, value) for name, _, value in (header.partition(": ") for header in headers)))


@dataclass(frozen=True)
class Case:
    """Conditions, with requests that meet all of them and requests that do not."""

    conditions: Conditions
    yes: Sequence[HttpRequest]
    no: Sequence[HttpRequest] = ()


def host(*names: str) -> dict[str, Any]:
    return {"host_header": list(names)}


def path(*patterns: str) -> dict[str, Any]:
    return {"path_pattern": list(patterns)}


def header(*texts: str, name: str = "X-A") -> dict[str, Any]:
    return {"http_header": {"name": name, "values": list(texts)}}


def query(*pairs: tuple[str | None, str]) -> dict[str, Any]:
    return {"query_string": [{"value": value} if key is None else {"key": key, "value": value} for key, value in pairs]}


def found(field: str, *regexes: str, **more: str) -> dict[str, Any]:
    return {field: {"regex_values": list(regexes), **more}}


HOSTS = [
    Case(
        [host("shop.test")],
        hosts("shop.test", "SHOP.Test", "shop.test:8080", "Shop.test:80"),
        hosts("a.shop.test", "shop.test.org", "shop.tes", "shopxtest", "", "shop.test.x"),
    ),
    Case([host("Shop.TEST")], hosts("shop.test", "SHOP.TEST"), hosts("shop.org")),
    Case(
        [host("*.example.com")],
        hosts("a.example.com", "a.b.example.com", "A.EXAMPLE.COM:443", ".example.com"),
        hosts("example.com", "aexample.com", "a.example.com.org", "a.example.org"),
    ),
    Case(
        [host("example.com", "*.example.com")],
        hosts("example.com", "www.example.com"),
        hosts("myexample.com", "com"),
    ),
    Case([host("*example.com")], hosts("example.com", "myexample.com", "a.example.com"), hosts("example.comx")),
    Case([host("api.*")], hosts("api.test", "api.a.b:1", "API.x"), hosts("api", "xapi.test", "ap.i")),
    Case([host("api*.test")], hosts("api.test", "api2.test", "api.x.test"), hosts("ap.test", "api.test.x")),
    Case([host("a.*.test")], hosts("a.b.test", "a.b.c.test", "a..test"), hosts("a.test", "ab.test", "a.b.tes")),
    Case([host("a?.test")], hosts("ab.test", "a-.test", "a..test"), hosts("a.test", "abc.test")),
    Case([host("?.example.com")], hosts("a.example.com"), hosts("ab.example.com", "example.com", ".example.com")),
    Case([host("sh*p.t?st")], hosts("shop.test", "shp.tast", "sh.x.p.tost"), hosts("shop.tst", "xshop.test")),
    Case([host("*.a.*")], hosts("x.a.y", ".a.b."), hosts("a.y", "x.a", "x.ab.y", ".a.")),
    Case([host("*.*")], hosts("shop.test", "shop.test."), hosts("localhost", "localhost:80", "localhost.", ".")),
    Case([host("*.t??t")], hosts("a.test", "a.txxt"), hosts("a.tet", "test")),
    Case(
        [host("one.test", "two.*", "*.three.test", "f?ur.test")],
        hosts("one.test", "two.x", "a.three.test", "four.test"),
        hosts("two", "three.test", "fur.test", "a.one.test"),
    ),
    Case(
        [found("host_header", r"^(api|www)\.example\.com$")],
        hosts("api.example.com", "WWW.example.com:80"),
        hosts("xapi.example.com", "api-example.com", "api.example.com.x"),
    ),
    Case([found("host_header", "shop")], hosts("shop.test", "myshop.test", "a.SHOP"), hosts("sop.test", "")),
    Case([found("host_header", "^$", r"^\d+\.t{2}$")], hosts("12.tt", "", ":80"), hosts("a.tt", "12.t", "12.ttt")),
]

PATHS = [
    Case([path("/img")], paths("/img", "/img?x", "/img?"), paths("/img/", "/Img", "/img2", "/a/img", "/im")),
    Case(
        [path("/img/*")],
        paths("/img/", "/img/a", "/img/a/b.png", "/img/?q", "/img//"),
        paths("/img", "/IMG/a", "/imgs/", "/x?/img/"),
    ),
    Case([path("/img*")], paths("/img", "/img/", "/imgs?q"), paths("/im", "//img", "/im?g")),
    Case([path("/")], paths("/", "/?a"), paths("//", "/a")),
    Case([path("/*")], paths("/", "/a/b", "/?q")),
    Case([path("*")], paths("/", "/a/b?q")),
    Case([path("*.png")], paths("/a.png", "/a/b.png", "/.png?x"), paths("/a.png/", "/a.PNG", "/a.png.gz", "/?.png")),
    Case([path("/*/edit")], paths("/a/edit", "/a/b/edit", "//edit"), paths("/edit", "/a/edit/", "/a/Edit")),
    Case([path("/a?c")], paths("/abc", "/a-c", "/a/c"), paths("/ac", "/abbc", "/a?c", "/Abc")),
    Case([path("/a/??")], paths("/a/bc", "/a///"), paths("/a/b", "/a/bcd", "/a/b?")),
    Case([path("*/admin/*")], paths("/x/admin/y", "/admin/"), paths("/admin", "/x/Admin/y", "/x?/admin/")),
    Case([path("*admin*")], paths("/admin", "/xadminy/z"), paths("/Admin", "/x?admin", "/adm/in")),
    Case([path("*a*b*c")], paths("/abc", "/xaxbxc", "/c/a/b/c"), paths("/acb", "/abcd")),
    Case([path("/a\\*b")], paths("/a*b"), paths("/axb", "/ab", "/a\\*b")),
    Case([path("/a\\**")], paths("/a*", "/a*b/c"), paths("/a", "/ab")),
    Case([path("/a\\?b", "/z")], paths("/z"), paths("/a?b", "/a%3Fb", "/axb")),
    Case([path("/a\\\\b")], paths("/a\\b"), paths("/a\\\\b", "/ab")),
    Case([path("/a\\b")], paths("/a\\b"), paths("/ab", "/a/b")),
    Case([path("/$x~'\"@:+&_-.z")], paths("/$x~'\"@:+&_-.z"), paths("/$x~'\"@:+&_-xz")),
    Case([path("/?$x'*\"@+.z")], paths("/1$x'2\"@+.z"), paths("/1$x'2\"@+xz", "/1$x'2\"@@.z")),
    Case([path("/a")], paths("/a"), paths("/%61", "/a%20", "/a%2F")),
    Case([path("/?61")], paths("/%61", "/x61"), paths("/a")),
    Case([path("/a", "/b/*", "*.css")], paths("/a", "/b/c", "/x.css"), paths("/b", "/c", "/x.cs")),
    Case([found("path_pattern", "^/v[0-9]+/")], paths("/v1/x", "/v22/"), paths("/V1/", "/v/", "/x?/v1/", "/x/v1/")),
    Case([found("path_pattern", "(?i)^/Case$")], paths("/case", "/CASE"), paths("/cases")),
    Case([found("path_pattern", r"^/a\.b$")], paths("/a.b", "/a.b?q"), paths("/axb", "/a.b/")),
    Case([found("path_pattern", "^/[^/]+/x$", r"\.txt$")], paths("/a/x", "/a/b.txt"), paths("/a/b/x", "/b.txt/")),
    Case([found("path_pattern", '^/(it\'s|"q"|a b|c#d|e$$)$')], paths("/it's", '/"q"', "/e"), paths("/its", "/q")),
    Case([found("path_pattern", r"^/\d{2,3}$", r"^/\\$")], paths("/12", "/123", "/\\"), paths("/1", "/1234", "/a")),
    Case([found("path_pattern", "b")], paths("/abc", "/b"), paths("/B", "/?b")),
]

HEADERS = [
    Case(
        [header("v1", name="X-Version")],
        [sent("GET", "X-Version: v1"), sent("GET", "x-version: V1"), sent("GET", "X-VERSION: v1")],
        [sent("GET"), sent("GET", "X-Version: v10"), sent("GET", "X-Version: "), sent("GET", "X-Versions: v1")],
    ),
    Case([header("V1")], values("v1", "V1"), values("v2")),
    Case([header("v1*")], values("v1", "v1.2", "V1x"), values("xv1", "v")),
    Case([header("*beta*")], values("beta", "a BETA b"), values("bet a")),
    Case([header("v?")], values("v1", "vx"), values("v", "v12")),
    Case([header("a,b")], values("a,b"), [*values("a", "b", "a, b"), sent("GET", "X-A: a", "X-A: b")]),
    Case([header("a")], [sent("GET", "X-A: z", "X-A: a"), sent("GET", "X-A: a", "x-a: z")], values("a,b", "b,a")),
    Case([header("*,b")], values("a,b", ",b"), values("a,b,c", "b")),
    Case([header("a"), header("b")], [sent("GET", "X-A: a", "X-A: b")], values("a", "b", "a,b")),
    Case([header("\\*")], values("*"), values("x", "\\*", "")),
    Case([header("\\?x*")], values("?x", "?xy"), values("ax", "\\?x")),
    Case([header("a\\b", "c\\\\d")], values("a\\b", "c\\d"), values("ab", "c\\\\d")),
    Case([header('say "hi" it\'s $HOME #1 %d \\t')], values('say "hi" it\'s $HOME #1 %d \\t'), values("say hi")),
    Case([header("-i", "--", "-f")], values("-i", "--", "-F"), values("i", "-")),
    Case([header("Mozilla/5.0 (*) *+[x]")], values("Mozilla/5.0 (X11) a+[x]"), values("Mozilla/5.0 X11 a+[x]")),
    Case([header("*")], values("", "x", "a,b"), [sent("GET"), *values("x", name="X-B")]),
    Case([header("one", "t?o", "*three")], values("one", "two", "x three"), values("on", "to", "threes")),
    Case([found("http_header", "^v[12]$", name="X-A")], values("v1", "V2"), [*values("v3", "xv1"), sent("GET")]),
    Case([found("http_header", r"[+(]'\"#", name="X-A")], values("a+'\"#", "('\"#b"), values("'\"#")),
    Case(
        [found("http_header", "^$", "^a,b$", name="X-A")],
        [*values("", "a,b"), sent("GET", "X-A: x", "X-A: a,b")],
        [sent("GET"), *values("a")],
    ),
    Case(
        [header("*session=abc*", name="Cookie")], values("a=1; session=abc; b=2", name="cookie"), values("session=abc")
    ),
    Case([header("v", name="X!#$%&'*+.^_`|~-")], values("v", name="x!#$%&'*+.^_`|~-"), values("v", name="X")),
]

METHODS = [
    Case([{"http_request_method": ["GET"]}], [sent("GET")], [*map(sent, ("HEAD", "POST", "get", "GETX", "GE"))]),
    Case([{"http_request_method": ["HEAD"]}], [sent("HEAD")], [sent("GET")]),
    Case([{"http_request_method": ["POST", "PUT"]}], [*map(sent, ("POST", "PUT"))], [*map(sent, ("GET", "PATCH"))]),
    Case([{"http_request_method": ["PURGE", "M-SEARCH"]}], [*map(sent, ("PURGE", "M-SEARCH"))], [sent("M_SEARCH")]),
    Case([{"http_request_method": ["-M", "A_B"]}], [*map(sent, ("-M", "A_B"))], [sent("M")]),
    Case([{"http_request_method": ["OPTIONS", "DELETE"]}], [*map(sent, ("OPTIONS", "DELETE"))], [sent("options")]),
]

QUERIES = [
    Case(
        [query(("v", "1"))],
        paths("/?v=1", "/?a=b&v=1", "/?V=1", "/?v=1&v=2", "/?v=2&v=1", "/x?v=1&"),
        paths(
            "/", "/?", "/?v", "/?v=", "/?v=11", "/?xv=1", "/?v=1=2", "/v=1", "/?v=%31", "/?a;v=1", "/?v=1;b", "/?vv=1"
        ),
    ),
    Case([query((None, "1"))], paths("/?x=1", "/?=1", "/?a=b&c=1"), paths("/?1", "/?x=11", "/", "/?1=x", "/?x=a=1")),
    Case([query((None, "*ex*"))], paths("/?a=example", "/?b=EX"), paths("/?example", "/?a=e&x=1")),
    Case([query(("k", "*"))], paths("/?k", "/?k=", "/?k=x&y", "/?a&K=1"), paths("/?kk=1", "/?a=k", "/")),
    Case([query(("k", ""))], paths("/?k=", "/?k", "/?a&k"), paths("/?k=1", "/?kk", "/")),
    Case([query((None, "*"))], paths("/?", "/?a", "/?a=b"), paths("/", "/a")),
    Case([query(("", "1"))], paths("/?=1", "/?a&=1"), paths("/?1", "/?a=1")),
    Case([query(("k*", "?"))], paths("/?k=1", "/?key=2"), paths("/?k=", "/?k=12", "/?ak=1")),
    Case([query(("?", "a*z"))], paths("/?k=az", "/?x=a=z", "/?x=abz"), paths("/?xx=az", "/?=az", "/?k=a&b=z")),
    Case([query(("k", "\\*"))], paths("/?k=*"), paths("/?k=x", "/?k=", "/?k=\\*")),
    Case([query(("k", "a\\?b"))], paths("/?k=a?b", "/?K=A?B"), paths("/?k=axb", "/?k=a")),
    Case([query(("a\\*b", "1"))], paths("/?a*b=1"), paths("/?axb=1")),
    Case([query(("k.k", "a.b(c)[d]+$^|{}"))], paths("/?k.k=a.b(c)[d]+$^|{}"), paths("/?kxk=a.b(c)[d]+$^|{}")),
    Case([query(("k", 'it\'s"q"$x\\y'))], paths('/?k=it\'s"q"$x\\y'), paths("/?k=its")),
    Case([query(("k", "a=b"))], paths("/?k=a=b"), paths("/?k=a", "/?a=b")),
    Case([query(("k", "%20"))], paths("/?k=%20"), paths("/?k=+", "/?k=")),
    Case([query(("A", "Yes"))], paths("/?a=YES", "/?A=yes"), paths("/?a=no")),
    Case([query(("a", "1"), ("b", "2"))], paths("/?a=1", "/?b=2", "/?a=2&b=2"), paths("/?a=2", "/?b=1")),
    Case([query(("a", "1")), query(("b", "2"))], paths("/?a=1&b=2", "/?b=2&x&a=1"), paths("/?a=1", "/?b=2")),
]

SOURCES = [
    Case([{"source_ip": ["127.0.0.1/32"]}], [asks()], [asks(source="127.0.0.2")]),
    Case(
        [{"source_ip": ["127.0.0.64/26"]}],
        [asks(source="127.0.0.64"), asks(source="127.0.0.127")],
        [asks(source="127.0.0.63"), asks(source="127.0.0.128")],
    ),
    Case(
        [{"source_ip": ["10.0.0.0/8"]}],
        [],
        [asks(), sent("GET", "X-Forwarded-For: 10.0.0.1"), sent("GET", "Forwarded: for=10.0.0.1")],
    ),
    Case([{"source_ip": ["10.0.0.0/8", "127.0.0.0/30"]}], [asks(source="127.0.0.3")], [asks(source="127.0.0.4")]),
    Case([{"source_ip": ["::1/128", "2001:db8::/32"]}], [], [asks()]),
    Case([{"source_ip": ["0.0.0.0/0"]}], [asks(), asks(source="127.1.2.3")]),
    Case([{"source_ip": ["127.0.5.77/24"]}], [asks(source="127.0.5.9")], [asks()]),
]

TOGETHER = [
    Case(
        [host("a.test", "*.b.test"), path("/x", "/y/*")],
        [asks("/x", host="a.test"), asks("/y/z", host="c.b.test"), asks("/x", host="c.b.test")],
        [asks("/x", host="b.test"), asks("/y", host="a.test"), asks("/x")],
    ),
    Case(
        [host("*.a.test"), path("/x*y")],
        [asks("/xy", host="b.a.test"), asks("/x/y", host="b.A.test:1")],
        [asks("/xy", host="a.test"), asks("/x", host="b.a.test"), asks("/Xy", host="b.a.test")],
    ),
    Case(
        [host("a*.te?t"), path("/x")],
        [asks("/x", host="ab.text"), asks("/x?y", host="A.test")],
        [asks("/xx", host="a.test"), asks("/x", host="a.tet")],
    ),
    Case(
        [
            host("a.test"),
            path("/x/*"),
            {"http_request_method": ["POST"]},
            header("yes"),
            query(("q", "1")),
        ],
        [asks("/x/?q=1", "POST", ("X-A", "Yes"), host="a.test")],
        [
            asks("/x/?q=1", "POST", ("X-A", "yes"), host="b.test"),
            asks("/x?q=1", "POST", ("X-A", "yes"), host="a.test"),
            asks("/x/?q=1", "PUT", ("X-A", "yes"), host="a.test"),
            asks("/x/?q=1", "POST", ("X-A", "no"), host="a.test"),
            asks("/x/?q=1", "POST", host="a.test"),
            asks("/x/?q=2", "POST", ("X-A", "yes"), host="a.test"),
            asks("/x/", "POST", ("X-A", "yes"), host="a.test"),
        ],
    ),
    Case(
        [found("host_header", "^a"), path("/x*"), {"source_ip": ["127.0.0.2/32"]}],
        [asks("/xy", host="a.test", source="127.0.0.2")],
        [asks("/xy", host="a.test"), asks("/y", host="a.test", source="127.0.0.2")],
    ),
    Case(
        [header("a"), {"http_request_method": ["GET"]}, path("*")], values("a"), [sent("HEAD", "X-A: a"), sent("GET")]
    ),
]

CASES = [*HOSTS, *PATHS, *HEADERS, *METHODS, *QUERIES, *SOURCES, *TOGETHER]

# Rules by priority, in another order than declared. Each responds with its own status.
ORDERED: dict[int, Conditions] = {
    40: [host("a.test")],
    12: [host("*.test"), path("/x/*")],
    33: [path("/x*")],
    2: [path("/x/y/z")],
    31: [host("b.*"), path("/x/y")],
    30: [host("b.a.*"), path("/x")],
    20: [path("*y")],
    21: [path("/x?y")],
    45: [host("*.a.test")],
    10: [{"http_request_method": ["PUT"]}],
    50: [header("*")],
    1: [header("first")],
    44: [query(("q", "1"))],
    32: [found("path_pattern", "^/x/y$")],
}
ORDERS: list[tuple[HttpRequest, int | None]] = [
    (asks("/", host="a.test"), 40),
    (asks("/", host="x.a.test"), 45),
    (asks("/?q=1", host="x.a.test"), 44),
    (asks("/x/y/z", host="a.test"), 2),
    (asks("/x/y/z", "PUT", host="a.test"), 2),
    (asks("/x/y", "PUT"), 10),
    (asks("/x/y"), 12),
    (asks("/x/y", host="b.org"), 20),
    (asks("/x/y", host="c.org"), 20),
    (asks("/x/", host="c.org"), 33),
    (asks("/x", host="b.a.org"), 30),
    (asks("/x", host="b.org"), 33),
    (asks("/xzy", host="c.org"), 20),
    (asks("/x", host="a.test"), 33),
    (asks("/", "GET", ("X-A", "other"), host="a.test"), 40),
    (asks("/", "GET", ("X-A", "other"), host="c.org"), 50),
    (asks("/x/y/z", "PUT", ("X-A", "first"), host="a.test"), 1),
    (asks("/q", host="c.org"), None),
    (asks("/", host="test"), None),
]


# As they are sent, and the answer.
UNUSUAL: list[tuple[Conditions, bytes, int]] = [
    ([path("/a?c")], b"GET /abc HTTP/1.0\r\n\r\n", MATCHED),
    ([path("/img*")], b"GET /img/a HTTP/1.0\r\n\r\n", MATCHED),
    ([path("*.png")], b"GET /a.png HTTP/1.0\r\n\r\n", MATCHED),
    ([host("shop.test")], b"GET / HTTP/1.0\r\n\r\n", MISSED),
    ([path("/a?c")], b"GET http://any.test/abc HTTP/1.1\r\nHost: any.test\r\n\r\n", MATCHED),
    ([host("shop.test")], b"GET http://shop.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n", MATCHED),
    ([path("*")], b"OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n", MATCHED),
    ([path("*"), {"http_request_method": ["OPTIONS"]}], b"OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n", MATCHED),
    ([path("/")], b"OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n", MISSED),
    ([path("/a?c")], b"GET /abc HTTP/1.1\r\nHost: x|y\r\n\r\n", 400),
    ([host("shop.test"), path("/a")], b"GET /b HTTP/1.1\r\nHost: shop.test|/a?\r\n\r\n", 400),
]


def rule(priority: int, conditions: Conditions, status: int = MATCHED) -> dict[str, Any]:
    return {"priority": priority, "conditions": conditions, "action": {"fixed_response": {"status_code": status}}}


class Conditioned:
    """Every case's conditions on a port of its own, and those that are ordered on one."""

    def __init__(self, alb: Alb) -> None:
        self.alb = alb
        self.ordered, *ports = free_ports(1 + len(CASES) + len(UNUSUAL))
        self.ports, self.unusual = ports[: len(CASES)], ports[len(CASES) :]
        default = {"fixed_response": {"status_code": MISSED}}
        conditions = [*(case.conditions for case in CASES), *(conditions for conditions, _, _ in UNUSUAL)]
        listeners: list[dict[str, Any]] = [
            {"port": port, "rules": [rule(7, found)], "default_action": default}
            for port, found in zip(ports, conditions, strict=True)
        ]
        ordered = [rule(priority, conditions, 200 + priority) for priority, conditions in ORDERED.items()]
        alb.declare(*listeners, {"port": self.ordered, "rules": ordered, "default_action": default})

    def ask(self, port: int, request: HttpRequest) -> int:
        target = request.path + ("" if request.query is None else f"?{request.query}")
        return self.alb.ask(
            target, request.method, *request.headers, host=request.host, source=request.source, port=port
        ).status


@pytest.fixture(scope="module")
def conditioned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conditioned]:
    alb = Alb(tmp_path_factory.mktemp("conditions") / "balancer")
    try:
        yield Conditioned(alb)
    finally:
        alb.end()


def described(number: int) -> str:
    return f"{number}-{CASES[number].conditions[0]}"[:60]


@pytest.mark.parametrize("number", range(len(CASES)), ids=described)
def test_condition(conditioned: Conditioned, number: int) -> None:
    """HAProxy and the model both take the requests for which the conditions hold, and no other."""
    case, port = CASES[number], conditioned.ports[number]
    only = Rule.model_validate(rule(7, case.conditions))
    for request in (*case.yes, *case.no):
        expected = MATCHED if request in case.yes else MISSED
        assert (match([only], request)[0] is only) == (expected == MATCHED), request
        assert conditioned.ask(port, request) == expected, request


@pytest.mark.parametrize(("request_", "priority"), ORDERS)
def test_lowest_priority(conditioned: Conditioned, request_: HttpRequest, priority: int | None) -> None:
    """The matching rule with the lowest number applies, with any kind of lookup."""
    rules = [Rule.model_validate(rule(number, conditions)) for number, conditions in ORDERED.items()]
    taken, _ = match(rules, request_)
    assert (taken.priority if taken else None) == priority
    assert conditioned.ask(conditioned.ordered, request_) == (MISSED if priority is None else 200 + priority)


def raw(port: int, request: bytes, address: str = "127.0.0.1") -> int:
    """Return the status of the response to a raw request."""
    with socket.create_connection((address, port), timeout=DEADLINE) as connection:
        connection.sendall(request)
        return int(connection.recv(65536).split()[1])


@pytest.mark.parametrize("number", range(len(UNUSUAL)))
def test_unusual_request(conditioned: Conditioned, number: int) -> None:
    """A request without a Host, with a whole URL or with an invalid host bypasses no rule."""
    _, request, status = UNUSUAL[number]
    assert raw(conditioned.unusual[number], request) == status


def test_source_of_version_6(alb: Alb) -> None:
    """IPv6 ranges match clients that connect by IPv6."""
    rules = [rule(1, [{"source_ip": ["2001:db8::/32"]}], 201), rule(2, [{"source_ip": ["::/64", "10.0.0.0/8"]}], 202)]
    listener = {"port": alb.port, "rules": rules, "default_action": {"fixed_response": {"status_code": 404}}}
    declaration = Declaration.model_validate(
        {
            "target_groups": {"web": {"port": 80}},
            "load_balancers": {"edge": {"address": "::1", "listeners": [listener]}},
        }
    )
    alb.balancer.apply("six", declaration)
    try:
        assert raw(alb.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "::1") == 202
    finally:
        alb.balancer.withdraw("six")


def thousand(changed: int) -> dict[str, Any]:
    """A listener with 1,000 rules, of which the middle one responds with `changed`."""
    rules = [
        rule(number, [host(f"h{number % 50}.example.com"), path(f"/p{number}/*")], 200 + number % 50)
        for number in range(1, 1001)
    ]
    rules[499] = rule(500, [path("/changing")], changed)
    return {"rules": rules, "default_action": {"fixed_response": {"status_code": MISSED}}}


@pytest.mark.timing
def test_one_of_a_thousand_rules_changes_quickly(alb: Alb) -> None:
    """The fastest of five changes takes less than half a second of processor time."""
    alb.declare(thousand(200))
    times = []
    for status in (201, 202, 203, 204, 205):
        listener = {"port": alb.port, **thousand(status)}
        declaration = Declaration.model_validate(
            {
                "target_groups": {"web": {"port": 80}},
                "load_balancers": {"edge": {"scheme": "internal", "listeners": [listener]}},
            }
        )
        begun = time.process_time()
        alb.balancer.apply("shop", declaration)
        times.append(time.process_time() - begun)
        assert alb.ask("/changing").status == status
    assert min(times) < 0.5, times


def test_rules_change_under_load(alb: Alb) -> None:
    """While rules change 50 times, each request is answered by an old or a new rule."""
    stop, statuses, failures = threading.Event(), list[int](), list[str]()

    def load() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", alb.port, timeout=DEADLINE)) as connection:
            while not stop.is_set():
                try:
                    connection.request("GET", "/changing")
                    answer = connection.getresponse()
                    answer.read()
                    statuses.append(answer.status)
                except (OSError, http.client.HTTPException) as error:
                    failures.append(repr(error))

    def declare(status: int) -> None:
        rules = [rule(1, [path("/other*")]), rule(2, [path("/changing")], status)]
        alb.declare({"rules": rules, "default_action": {"fixed_response": {"status_code": MISSED}}})

    declare(200)
    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1, 51):
        declare(200 + number)
        before = len(statuses)
        until(lambda before=before: len(statuses) > before + 40, "requests go on")  # type: ignore[misc]
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(statuses) <= {200 + number for number in range(51)}
    assert statuses[-1] == 250
    assert len(statuses) > 2000
