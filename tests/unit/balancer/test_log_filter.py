"""Filters of the access log: what passes, and that the fast test of lines drops nothing that does."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.balancer.haproxy.access_log import HAProxyAccessLog, LogReader
from pipeline.balancer.haproxy.line_filter import line_filter
from pipeline.balancer.log_filter import LogFilter, parse_method, parse_path, parse_seconds, parse_statuses
from pipeline.balancer.log_match import passes
from tests.support.access_log import NO_TARGET, OWN, REFUSED, TLS, former, raw, record

_TLS_CONNECTION = (
    "tls 1795985348 345 2 324 192.0.2.7:35118 192.0.2.1:443 5 15 TLS_AES_128_GCM_SHA256 TLSv1.3 db.test h2 "
    "3A2D0D3000511E8D 0 shop.edge.443 shop.db"
)
LEFT = {"status": "-1", "target_status": "-", "termination": "CH--", "response": "-1"}
# Each a filter, and the changes of a line that passes and of one that does not.
CASES = {
    "status": (LogFilter(parse_statuses("404,5XX")), {"status": "503"}, {"status": "200"}),
    "range": (LogFilter(parse_statuses("400-499")), {"status": "499"}, {"status": "500"}),
    "client left": (LogFilter(parse_statuses("460")), LEFT, {"status": "200"}),
    "path": (LogFilter(path=parse_path("/api/*")), {"uri": "/api/a?b=/x"}, {"uri": "/app?/api/"}),
    "path of HTTP/2": (LogFilter(path=parse_path("/a")), {"uri": "https://a.example/a?b", **TLS}, {"uri": "/ab"}),
    "path with an encoded byte": (LogFilter(path=parse_path("/a|b")), {"uri": "/a#7Cb"}, {"uri": "/ab"}),
    "path of a target": (LogFilter(path=parse_path("*.php")), {"uri": "/x/a.php?q"}, {"uri": "/a.ph?.php"}),
    "address": (LogFilter(target="10.1.0.3"), {}, {"target": "10.1.0.33:80"}),
    "address and port": (LogFilter(target="10.1.0.3:8080"), {}, {"target": "10.1.0.3:80"}),
    "no target": (LogFilter(target="10.1.0.3"), {}, OWN),
    "group": (LogFilter(group="shop.web"), {}, {"backend": "shop.web-next"}),
    "owner": (LogFilter(owner="shop"), {}, {"backend": "blog.web", "listener": "blog.edge.80"}),
    "owner of the group": (LogFilter(owner="blog"), {"backend": "blog.web"}, {}),
    "owner of the load balancer": (LogFilter(owner="shop"), REFUSED, {"backend": "a.b", "listener": "a.b.1"}),
    "method": (LogFilter(method="PUT"), {"method": "PUT"}, {"uri": "/PUT", "method": "PUTS"}),
    "slower": (LogFilter(slower_than=0.25), {"response": "251"}, {"response": "250"}),
    "no response": (LogFilter(slower_than=0.0), {"response": "1"}, {"response": "-1"}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_passes(name: str) -> None:
    """A line passes by its field alone, whatever the others are."""
    wanted, passing, failing = CASES[name]
    assert passes(record(passing), wanted)
    assert not passes(record(failing), wanted)
    assert line_filter(wanted)(raw(passing))


VARIANTS = [{}, NO_TARGET, OWN, REFUSED, TLS, LEFT, *(case[at] for case in CASES.values() for at in (1, 2))]


@given(first=st.sampled_from([*CASES]), second=st.sampled_from([*CASES]), changes=st.sampled_from(VARIANTS))
@pytest.mark.parametrize("write", [raw, former])
def test_the_fast_test_drops_nothing(
    write: Callable[[dict[str, str]], bytes], first: str, second: str, changes: dict[str, str]
) -> None:
    """Lines that it drops would not have passed, also with two fields and in the form of version 0.1.0."""
    mine, other = CASES[first][0], CASES[second][0]
    wanted = replace(mine, **{key: value for key, value in vars(other).items() if value})
    written = write(changes)
    (found,) = LogReader().records([written])
    assert line_filter(wanted)(written) or not passes(found, wanted)


def test_damaged_lines_are_counted() -> None:
    """The fast test does not hide a damaged line."""
    may_pass = line_filter(LogFilter(slower_than=1))
    assert may_pass(raw(response="x"))
    assert not may_pass(raw(response="900"))


def test_tls_connections() -> None:
    """They pass if no field is of requests only."""
    written = _TLS_CONNECTION.replace(" ", "\t").encode() + b"\n"
    (found,) = LogReader().records([written])
    for wanted, is_shown in ((LogFilter(), True), (LogFilter(owner="shop"), True), (LogFilter(method="GET"), False)):
        assert passes(found, wanted) == is_shown
        assert line_filter(wanted)(written) == is_shown
    assert not passes(found, LogFilter(owner="blog"))


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_statuses, "6XX", "'6XX' is not a status; write 502, 5XX, 400-499 or a list such as 404,5XX"),
        (parse_statuses, "", "'' is not a status; write 502, 5XX, 400-499 or a list such as 404,5XX"),
        (parse_statuses, "200,,", "'200,,' is not a status; write 502, 5XX, 400-499 or a list such as 404,5XX"),
        (parse_statuses, "499-400", "'499-400' is empty: 400 is less than 499"),
        (parse_statuses, "٢٠٠", "'٢٠٠' is not a status; write 502, 5XX, 400-499 or a list such as 404,5XX"),
        (parse_path, "api", "'api' is not a path; it starts with / or *, such as /api/*"),
        (parse_path, "/a?b=c", "'/a?b=c' has a query; the path is compared without it: write /a"),
        (parse_method, "GET /", "'GET /' is not a method; write one such as GET"),
        (parse_seconds, "fast", "'fast' is not a time; write seconds such as 0.5, or 500ms"),
        (parse_seconds, "-1", "'-1' is not a time; write seconds such as 0.5, or 500ms"),
    ],
)
def test_mistakes(parse: object, text: str, message: str) -> None:
    """Each has a message that says what to write."""
    assert callable(parse)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse(text)


@pytest.mark.parametrize(("text", "seconds"), [("0.5", 0.5), ("500ms", 0.5), ("2s", 2.0), (" 3 ", 3.0)])
def test_times(text: str, seconds: float) -> None:
    """Seconds are the default."""
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize(
    "written", [raw(), _TLS_CONNECTION.replace(" ", "\t").encode() + b"\n"], ids=["request", "TLS"]
)
def test_how_far_back_a_page_has_read(tmp_path: Path, written: bytes) -> None:
    """A page says when the last entry that it has read ended, whether it passed or not."""
    path = tmp_path / "access.log"
    path.write_bytes(written + raw())
    (found,) = LogReader().records([written])
    page = HAProxyAccessLog(path).page(LogFilter(method="PUT"), 9)
    assert (page.records, page.next, page.since) == ([], None, found.ended)
