"""The access log: HAProxy's lines translated to ELB's fields, with any input from clients."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.balancer.access import AccessEntry
from pipeline.balancer.haproxy.access_log import LogReader
from pipeline.balancer.haproxy.log_format import FIELDS, FORMER_FIELDS
from pipeline.balancer.telemetry.rendering import as_data, as_line
from tests.support.access_log import NO_ANSWER, OWN, REFUSED, TLS, former, line, raw, raw_fields, record, request
from tests.support.command_line import pipeline

NAMES = sorted({*FIELDS, *FORMER_FIELDS})


def entry(changes: dict[str, str] | None = None, **more: str) -> AccessEntry:
    return record(changes, **more).entry()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ("app/edge/shop", "shop.web", "10.1.0.3:8080", "forward", 200, 200, 48, 51, 0.04, 0, False, None)),
        (
            {**NO_ANSWER, "status": "503", "termination": "SCNN", "retries": "+2", "backend": "billing.api.open"},
            (
                *("app/edge/shop", "billing.api", "10.1.0.3:8080", "forward", 503, None, 48, 51, None, 3, True),
                "TargetConnectionError",
            ),
        ),
        (
            {**REFUSED, "status": "405"},
            ("app/edge/shop", None, None, None, 405, None, 48, 51, None, 0, False, "MethodNotAllowed"),
        ),
    ],
)
def test_record(fields: dict[str, str], expected: tuple[object, ...]) -> None:
    """A record holds names, codes and seconds, and None for a field that does not apply."""
    found = record(fields)
    assert (
        *(found.load_balancer, found.target_group, found.target, found.action, found.elb_status, found.target_status),
        *(found.received_bytes, found.sent_bytes, found.target_time, found.connect_errors, found.sticky_miss),
        found.error,
    ) == expected
    assert found.ended == found.entry().time


def test_elbs_line() -> None:
    """A line has all thirty fields in ELB's order and form."""
    assert as_line(entry()) == (
        "http 2026-11-24T12:10:40.146000Z app/edge/shop 192.0.2.7:33822 10.1.0.3:8080 0.006 0.040 0.000 200 200 48 51 "
        '"GET http://Shop.example.com:8080/a?b HTTP/1.1" "curl/8.5" - - shop.web '
        '"Root=1-6b057ebf-dd40be089abab24852895211" "-" "-" 10 2026-11-24T12:10:39.600000Z "forward" "-" "-" '
        '"10.1.0.3:8080" "200" "-" "-" -'
    )


def test_json_has_elbs_names() -> None:
    """JSON has the same order, with numbers as numbers and missing values as null."""
    data = as_data(entry(TLS, server_name="shop.example.com", classification="Ambiguous:SpaceInUri"))
    assert " ".join(data) == (
        "type time elb client:port target:port request_processing_time target_processing_time "
        "response_processing_time elb_status_code target_status_code received_bytes sent_bytes request user_agent "
        "ssl_cipher ssl_protocol target_group_arn trace_id domain_name chosen_cert_arn matched_rule_priority "
        "request_creation_time actions_executed redirect_url error_reason target:port_list target_status_code_list "
        "classification classification_reason conn_trace_id"
    )
    assert (data["elb_status_code"], data["target_processing_time"], data["redirect_url"]) == (200, 0.04, None)
    assert (data["ssl_protocol"], data["domain_name"]) == ("TLSv1.3", "shop.example.com")
    assert (data["classification"], data["classification_reason"]) == ("Ambiguous", "SpaceInUri")
    assert data["time"] == "2026-11-24T12:10:40.146000Z"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "http"),
        (TLS, "https"),
        ({**TLS, "version": "HTTP/2.0"}, "h2"),
        ({**TLS, "version": "HTTP/2.0", "content_type": "application/grpc+proto"}, "grpcs"),
        ({"version": "HTTP/2.0"}, "http"),
        ({"status": "101", "target_status": "101", "upgrade": "WebSocket"}, "ws"),
        ({**TLS, "status": "101", "target_status": "101", "upgrade": "websocket"}, "wss"),
        ({"upgrade": "websocket"}, "http"),
        ({"status": "101", "target_status": "101", "upgrade": "h2c"}, "http"),
    ],
)
def test_type(fields: dict[str, str], expected: str) -> None:
    """The type follows from TLS, the version, the content type and the upgrade to a WebSocket."""
    assert entry(fields).type == expected


@pytest.mark.parametrize(
    ("fields", "statuses", "reason"),
    [
        ({}, (200, 200), None),
        ({"termination": "SD--"}, (200, 200), "TargetClosedConnection"),
        ({"termination": "sD--"}, (200, 200), "TargetTimeout"),
        ({"termination": "CD--"}, (200, 200), "ClientClosedConnection"),
        ({"termination": "KD--"}, (200, 200), "DeregistrationDelayElapsed"),
        ({"status": "101", "target_status": "101", "termination": "CD--"}, (101, 101), None),
        ({**NO_ANSWER, "status": "502", "termination": "SH--"}, (502, None), "TargetClosedConnection"),
        ({**NO_ANSWER, "status": "502", "termination": "PH--"}, (502, None), "TargetInvalidResponse"),
        ({**NO_ANSWER, "status": "504", "termination": "sH--"}, (504, None), "TargetTimeout"),
        ({**NO_ANSWER, "status": "503", "termination": "SC--"}, (503, None), "TargetConnectionError"),
        ({**NO_ANSWER, "status": "503", "termination": "sC--"}, (503, None), "TargetConnectionTimeout"),
        ({**OWN, "status": "503", "termination": "SC--"}, (503, None), "NoTarget"),
        ({**OWN, "status": "464"}, (464, None), "ProtocolVersionMismatch"),
        ({**NO_ANSWER, "status": "-1", "termination": "CH--"}, (460, None), "ClientClosedConnection"),
        # What HAProxy 2.8 says of a client that resets the connection while it waits.
        ({**NO_ANSWER, "status": "400", "termination": "CD--"}, (460, None), "ClientClosedConnection"),
        ({**REFUSED, "status": "400", "termination": "PR--"}, (400, None), "MalformedRequest"),
        ({**REFUSED, "status": "400", "termination": "CR--"}, (400, None), "ClientClosedConnection"),
        ({**REFUSED, "status": "408", "termination": "cR--"}, (408, None), "RequestTimeout"),
        ({**REFUSED, "status": "405"}, (405, None), "MethodNotAllowed"),
        ({**OWN, "status": "404", "backend": "listener.8080.10"}, (404, None), None),
        ({**NO_ANSWER, "status": "-1", "termination": "IH--"}, (None, None), "InternalError"),
    ],
)
def test_status_and_reason(fields: dict[str, str], statuses: tuple[int | None, int | None], reason: str | None) -> None:
    """The target's code is present only for a target's response, and errors have a reason."""
    found = entry(fields)
    assert (found.elb_status_code, found.target_status_code) == statuses
    assert found.error_reason == reason


@pytest.mark.parametrize(
    ("fields", "action", "group", "priority"),
    [
        ({}, "forward", "shop.web", 10),
        ({"backend": "billing.web"}, "forward", "billing.web", 10),
        ({"backend": "shop.web.open"}, "forward", "shop.web", 10),
        ({"rule": "50001"}, "forward", "shop.web", 0),
        ({"rule": "-"}, "forward", "shop.web", 0),
        ({**OWN, "status": "503", "termination": "SC--"}, "forward", "shop.web", 10),
        ({**OWN, "status": "404", "backend": "listener.8080.10"}, "fixed-response", None, 10),
        ({**OWN, "status": "301", "backend": "listener.8080.50001", "rule": "50001"}, "redirect", None, 0),
        ({**REFUSED, "status": "400", "termination": "PR--"}, None, None, -1),
        ({**REFUSED, "status": "405"}, None, None, -1),
        # The rules were asked, and then its body did not come.
        ({**OWN, "status": "400", "termination": "CR--"}, None, None, -1),
        ({"backend": "listener.web"}, "forward", "listener.web", 10),
    ],
)
def test_rule_and_action(fields: dict[str, str], action: str | None, group: str | None, priority: int) -> None:
    """The rule is 0 for the default action and -1 for none, and the action has its redirect URL."""
    found = entry(fields)
    assert (found.actions_executed, found.target_group_arn, found.matched_rule_priority) == (action, group, priority)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (0.006, 0.04, 0.0)),
        (NO_ANSWER, (0.006, -1, -1)),
        ({**NO_ANSWER, "connect": "-1"}, (-1, -1, -1)),
        (OWN, (-1, -1, -1)),
    ],
)
def test_processing_times(fields: dict[str, str], expected: tuple[float, float, float]) -> None:
    """Times are seconds, or -1 for a phase that was not reached."""
    found = entry(fields)
    times = (found.request_processing_time, found.target_processing_time, found.response_processing_time)
    assert times == expected


def test_moments() -> None:
    """A request begins with its first byte, not with its connection, and its entry's time is its end."""
    found = entry()
    assert found.request_creation_time == datetime(2026, 11, 24, 12, 10, 39, 600_000, UTC)
    assert found.time == datetime(2026, 11, 24, 12, 10, 40, 146_000, UTC)
    assert entry(handshake="-1", idle="-1").request_creation_time.microsecond == 576_000


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"host": "x:99"}, "GET http://x:99/a?b HTTP/1.1"),
        ({"host": "[::1]"}, "GET http://[::1]:8080/a?b HTTP/1.1"),
        ({"host": "[::1]:99"}, "GET http://[::1]:99/a?b HTTP/1.1"),
        ({"host": "-", "version": "HTTP/1.0"}, "GET http://-:8080/a?b HTTP/1.0"),
        (TLS, "GET https://Shop.example.com:8080/a?b HTTP/1.1"),
        ({**TLS, "uri": "https://x.test/p?q", "version": "HTTP/2.0"}, "GET https://x.test:8080/p?q HTTP/2.0"),
        ({"method": "OPTIONS", "uri": "*"}, "OPTIONS * HTTP/1.1"),
        ({"method": "CONNECT", "uri": "x:443"}, "CONNECT x:443 HTTP/1.1"),
        ({"uri": "/a#22b#C3#A9"}, 'GET http://Shop.example.com:8080/a"bé HTTP/1.1'),
        (REFUSED, "- - -"),
    ],
)
def test_request_line(fields: dict[str, str], expected: str) -> None:
    """The request line has a complete URL, as the client sent it."""
    assert entry(fields).request == expected


@pytest.mark.parametrize(
    "fields",
    [{}, {**TLS, "version": "HTTP/2.0"}, {"upgrade": "websocket", "content_type": "a/b"}, REFUSED, {"host": "-"}],
)
def test_lines_of_the_former_version(fields: dict[str, str]) -> None:
    """A line of version 0.1.0 gives the same entry."""
    (found,) = LogReader().records([former(fields)])
    assert found.entry() == entry(fields)


def test_a_request_line_that_was_cut() -> None:
    """HAProxy cuts a long request line, so the version is unknown."""
    fields = {**raw_fields(), "request_line": f"GET /{'a' * 1000}"}
    (found,) = LogReader().records([line(fields)])
    assert found.entry().request.endswith("aaa -")


@pytest.mark.parametrize(
    ("encoded", "value"), [("a#7Cb", "a|b"), ("a#09b", "a"), ("a#23b", "a#b"), ("", None), ("#C3#A9", "é")]
)
def test_captured_headers_are_decoded(encoded: str, value: str | None) -> None:
    """A header may hold the characters that separate headers, and is cut at its first tab."""
    (found,) = LogReader().records([line({**raw_fields(), "request_headers": f"{{|{encoded}||}}"})])
    assert found.entry().user_agent == value


@pytest.mark.parametrize("nonsense", ["-99999999999999999999", "99999999999999999999"])
def test_no_such_time(nonsense: str) -> None:
    """A time that cannot be represented becomes the nearest one."""
    assert entry(accepted_seconds=nonsense).time.year in (1970, 9999)


def test_redirect_url() -> None:
    """The redirect URL is that of a rule, not of a target's response."""
    away = {**OWN, "status": "301", "backend": "listener.8080.10", "location": "https://shop.example.com:443/"}
    assert entry(away).redirect_url == "https://shop.example.com:443/"
    assert entry(status="302", target_status="302", location="/elsewhere").redirect_url is None


def test_no_target_has_no_address() -> None:
    """A request without a target has no address, even if HAProxy logs one."""
    assert entry(server="<NOSRV>").target is None


@pytest.mark.parametrize(
    "text",
    [
        raw(backend="relay:8080", server="successor", target="unix:0"),
        b"Proxy shop.edge.8080 stopped (cumulated conns: FE: 46, BE: 0).\n",
        b"127.0.0.1:60164 [24/Nov/2026:12:41:08.832] shop.edge.8443/1: SSL handshake failure (error:0A0000)\n",
    ],
)
def test_what_is_no_request(text: bytes) -> None:
    """Passed-on requests and notices are neither records nor unreadable lines."""
    reader = LogReader()
    assert list(reader.records([text])) == []
    assert reader.unreadable == 0


@pytest.mark.parametrize(
    "text",
    [
        b"\n",
        raw()[:100] + b"\n",
        raw()[100:],
        raw(server_name="a\tb"),
        raw(status="OK"),
        raw(status="9" * 5000),
        raw(termination="-"),
        raw(listener="shop"),
        b"\x00\xff\n",
    ],
)
def test_unreadable_lines(text: bytes) -> None:
    """Unreadable lines are counted, and the lines after them are read."""
    reader = LogReader()
    assert len(list(reader.records([raw(), text, raw()]))) == 2
    assert reader.unreadable == 1


@given(st.lists(st.binary() | st.builds(raw, st.dictionaries(st.sampled_from(NAMES), st.text(max_size=30)))))
def test_no_line_stops_the_reader(lines: list[bytes]) -> None:
    """Every line becomes an entry of one line and thirty fields, or is left out."""
    for found in LogReader().records(lines):
        text = as_line(found.entry())
        assert len(re.findall(r'(?:^| )("[^"]*"|[^ "]+)(?= |$)', text)) == 30
        assert text.isascii()
        assert text.isprintable()


@given(st.text(st.characters(exclude_characters="\t\n", exclude_categories=["Cs"]), min_size=1))
def test_what_clients_write_stays_in_its_field(text: str) -> None:
    """Quotes, spaces and control characters are escaped and do not end a field."""
    found = entry(user_agent=text)
    expected = None if text in ("-", "-:-", "<NOSRV>", "<BADREQ>") else text
    assert as_data(found)["user_agent"] == expected
    (quoted,) = re.findall(r'HTTP/1.1" "([^"]*)"', as_line(found))
    encoded = quoted.encode()
    assert re.sub(rb"\\x(..)", lambda byte: bytes.fromhex(byte[1].decode()), encoded).decode() == (expected or "-")


def test_there_is_no_log_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing log is reported with its path, and an empty log is not."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    log = tmp_path / "balancer" / "access.log"
    done = pipeline("balancer", "log", "--json")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"no access log yet; the first load balancer creates {log}\n"
    log.touch()
    done = pipeline("balancer", "log")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


HELD = {"backend": "shop.web.held", "server": "held", "target": "unix:0"}


@pytest.mark.parametrize(
    ("fields", "statuses", "reason"),
    [
        ({"response": "2300"}, (200, 200), None),
        ({**NO_ANSWER, "status": "503", "termination": "SH--"}, (503, None), "NoTarget"),
        ({**NO_ANSWER, "status": "-1", "termination": "CH--"}, (460, None), "ClientClosedConnection"),
    ],
)
def test_a_request_that_was_held(
    fields: dict[str, str], statuses: tuple[int | None, int | None], reason: str | None
) -> None:
    """It has a word in place of a target, and no response time: most of it is the start of the container."""
    found = record({**HELD, **fields})
    assert (found.target, found.target_group, found.target_time) == ("held", "shop.web", None)
    assert (found.elb_status, found.target_status, found.error) == (*statuses, reason)
    forwarded = request({**HELD, **fields})
    assert (forwarded.group, forwarded.target, forwarded.response_time) == ("shop.web", None, None)
    assert (forwarded.status, forwarded.error) == (statuses[0], reason)
