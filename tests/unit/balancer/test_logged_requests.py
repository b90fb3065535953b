"""The requests in the access log that can be sent again."""

from __future__ import annotations

import pytest

from pipeline.balancer.access import LoggedRequest
from pipeline.balancer.haproxy.logged_request import repeatable_requests
from tests.support.access_log import NO_ANSWER, OWN, REFUSED, TLS, raw


def read(*lines: bytes) -> list[LoggedRequest]:
    return list(repeatable_requests(lines, "shop.web", lambda: True))


def test_a_request() -> None:
    """A request has what its log line has of it."""
    assert read(raw()) == [LoggedRequest("GET", "/a?b", "Shop.example.com", "curl/8.5", "192.0.2.7", 8080, False)]


def test_a_request_over_tls_with_http2() -> None:
    """HTTP/2 logs a whole URL, of which the path is sent."""
    found = read(raw(TLS, method="HEAD", uri="https://shop.example.com/a//b?c=http://d/", client="2001:db8::1:4711"))
    assert found == [
        LoggedRequest("HEAD", "/a//b?c=http://d/", "Shop.example.com", "curl/8.5", "2001:db8::1", 8080, True)
    ]


@pytest.mark.parametrize("uri", ["/a%20b", "/?q=http://x/", "/a'b(c)"])
def test_a_path_stays_as_it_is(uri: str) -> None:
    """Nothing of a path is decoded or encoded."""
    assert [found.path for found in read(raw(uri=uri))] == [uri]


@pytest.mark.parametrize("status", ["200", "302", "404", "499"])
def test_each_answered_request(status: str) -> None:
    """A target has answered, and not with 5XX."""
    assert len(read(raw(status=status, target_status=status))) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "POST"},
        {"method": "GETTER"},
        {"status": "500", "target_status": "500"},
        {"status": "101", "target_status": "101", "upgrade": "websocket"},
        {"upgrade": "h2c"},
        {"backend": "shop.web-next"},
        {"backend": "shop.web2"},
        {"host": "-"},
        {"uri": "*"},
        {"uri": "http://shop.example.com"},
        {"uri": "/caf#C3#A9"},
        {"uri": "/a#09b"},
        {"version": ""},
        {**NO_ANSWER, "status": "502", "termination": "SH--"},
        {**NO_ANSWER, "status": "-1", "termination": "CH--"},
        OWN,
        REFUSED,
    ],
)
def test_others_are_left_out(fields: dict[str, str]) -> None:
    """Requests without a complete copy in the log, failed ones, and those to other target groups."""
    assert read(raw(fields)) == []


def test_a_user_agent_that_may_be_another_text() -> None:
    """It is not sent, and the request is."""
    assert [found.user_agent for found in read(raw(user_agent="café"), raw(user_agent="-"))] == [None, None]


def test_damaged_lines_are_skipped() -> None:
    """The lines around them are read."""
    assert len(read(b"x\tshop.web\tGET /\n", raw(), b"\tGET \tshop.web\n", raw())) == 2


def test_only_the_chosen_ones() -> None:
    """`choose` is asked for each line that may be one, before it is parsed."""
    answers = iter([True, False, True])
    found = repeatable_requests(
        [raw(uri="/1"), raw(method="POST"), raw(uri="/2"), raw(uri="/3")], "shop.web", lambda: next(answers)
    )
    assert [each.path for each in found] == ["/1", "/3"]
