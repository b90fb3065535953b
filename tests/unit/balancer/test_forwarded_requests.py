"""The fast reader of the access log: what alarms need of each forwarded request, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.balancer.access import ForwardedRequest
from pipeline.balancer.haproxy.access_log import HAProxyAccessLog
from pipeline.balancer.haproxy.forwarded_request import ForwardedReader
from pipeline.balancer.haproxy.log_line import AccessLogLine
from pipeline.balancer.haproxy.log_outcome import RequestOutcome
from pipeline.balancer.haproxy.log_rotation import rotate
from pipeline.balancer.haproxy.naming import target_of
from tests.support.access_log import NO_ANSWER, OWN, REFUSED, SERVED, TLS, former, raw, record

GROUPS = ("shop.web", "shop.web-next")


def read(*lines: bytes, groups: tuple[str, ...] = GROUPS) -> list[ForwardedRequest]:
    return list(ForwardedReader().requests(lines, groups))


def test_a_request() -> None:
    """A request has its times, its way and its status."""
    assert read(raw(server="shop.web.r4.0a1b2c")) == [
        ForwardedRequest(
            arrived=1795522239600,
            ended=1795522240146,
            listener=8080,
            group="shop.web",
            target="shop.web.r4.0a1b2c",
            status=200,
            is_from_target=True,
            response_time=40,
            connect_errors=0,
            is_grpc=False,
            error=None,
        )
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({**NO_ANSWER, "status": "502", "termination": "SH--"}, (502, False, None, 0, "TargetClosedConnection")),
        ({**NO_ANSWER, "status": "504", "termination": "sH--"}, (504, False, None, 0, "TargetTimeout")),
        (
            {**NO_ANSWER, "status": "503", "termination": "SC--", "retries": "+2"},
            (503, False, None, 3, "TargetConnectionError"),
        ),
        # The client left after 540 of 546 ms, of which the request took 6.
        ({**NO_ANSWER, "status": "-1", "termination": "CH--"}, (460, False, 540, 0, "ClientClosedConnection")),
        (
            {**NO_ANSWER, "status": "-1", "termination": "CC--", "connect": "-1"},
            (460, False, None, 0, "ClientClosedConnection"),
        ),
        ({"termination": "CD--"}, (200, True, 40, 0, "ClientClosedConnection")),
        ({"status": "101", "target_status": "101"}, (101, True, 40, 0, None)),
        ({"retries": "+1"}, (200, True, 40, 1, None)),
    ],
)
def test_how_it_ended(fields: dict[str, str], expected: tuple[object, ...]) -> None:
    """Status, origin, waiting time, connection errors and reason follow from what HAProxy says."""
    (found,) = read(raw(fields))
    assert (*(found.status, found.is_from_target, found.response_time, found.connect_errors, found.error),) == expected


@pytest.mark.parametrize(
    "line",
    [
        raw(backend="shop.api"),
        raw(backend="shop.webshop"),
        raw(backend="relay:3"),
        raw({**REFUSED, "status": "405"}),
        raw({**OWN, "status": "404", "backend": "listener.8080.10"}),
        b"Proxy shop.edge.8080 stopped shop.web\n",
        b"tls\t1\t2\tshop.web\n",
        raw(uri="/shop.web", backend="shop.api"),
    ],
)
def test_other_lines(line: bytes) -> None:
    """Requests to other groups, those that went to no group, and notices are left out."""
    assert read(line) == []


@pytest.mark.parametrize("backend", ["shop.web", "shop.web.open", "shop.web.shared", "shop.web_zone-a"])
def test_backends_of_a_group(backend: str) -> None:
    """A group may have several backends, and an alternate group is another one."""
    assert [found.group for found in read(raw(backend=backend), raw(backend="shop.web-next"))] == list(GROUPS)
    assert [found.group for found in read(raw(backend="shop.web-next"), groups=("shop.web",))] == []


def test_servers() -> None:
    """A target's second server is the same target, and a request without a server had none."""
    found = read(raw(server="a:open"), raw({**OWN, "status": "503", "termination": "SC--"}))
    assert [(each.target, each.status) for each in found] == [("a", 200), (None, 503)]


def test_grpc() -> None:
    """The content type of a request tells gRPC. A user agent that looks like one does not."""
    found = read(
        raw({**TLS, "content_type": "application/grpc+proto"}),
        raw({**TLS, "content_type": "application/grpc", "termination": "CD--"}),
        raw(user_agent="x|application/grpc"),
    )
    assert [each.is_grpc for each in found] == [True, True, False]


def test_damaged_lines() -> None:
    """Damaged lines about a wanted group are counted. Others may be damaged too, which does not matter."""
    reader = ForwardedReader()
    lines = [raw(), raw(status="2x0"), raw(listener="here"), b"a\tshop.web\n", b"a\tshop.api\n", raw(total="")]
    assert len(list(reader.requests(lines, GROUPS))) == 1
    assert reader.unreadable == 4


def test_lines_of_an_earlier_version() -> None:
    """The lines of version 0.1.0 are read too."""
    assert read(former()) == read(raw())


number = st.integers(-1, 5000).map(str)
ends = st.sampled_from(["----", "CD--", "SH--", "sH--", "SC--", "sC--", "CH--", "PH--", "KD--", "LR--", "CC--", "PR--"])


@given(
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("handshake", "idle", "request", "queue", "connect", "response", "transfer"), number),
            "total": number,
            "status": st.sampled_from(["-1", "0", "101", "200", "404", "500", "503"]),
            "target_status": st.sampled_from(["-", "200", "404", "500", "101"]),
            "backend": st.sampled_from(["shop.web", "shop.web.open", "shop.web-next", "listener.8080.1", "relay:1"]),
            "server": st.sampled_from(["a", "a:open", "<NOSRV>", "shop.web.r1.0a"]),
            "rule": st.sampled_from(["-", "1", "50001"]),
            "retries": st.sampled_from(["0", "2", "+1"]),
            "termination": ends,
            "uri": st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1).filter(str.isprintable),
        },
    )
)
def test_the_fast_way_agrees_with_the_whole_record(fields: dict[str, str]) -> None:
    """Whatever HAProxy writes, the request has the values of the complete record of the same line."""
    line = raw(fields)
    whole = AccessLogLine.read(line)
    found = read(line)
    if whole is None or RequestOutcome.from_line(whole).target_group not in GROUPS:
        assert found == []
        return
    expected, (request,) = record(fields), found
    assert (request.arrived, request.ended) == (whole.created, whole.ended)
    assert (request.group, request.status) == (expected.target_group, expected.elb_status)
    assert request.is_from_target == (expected.target_status is not None)
    assert (request.connect_errors, request.error) == (expected.connect_errors, expected.error)
    server = {**SERVED, **fields}["server"]
    assert request.target == (None if server == "<NOSRV>" else target_of(server))
    if expected.target_time is not None:
        assert request.response_time == round(expected.target_time * 1000)


def served(number: int) -> bytes:
    """Return the line of a request that ended this many seconds after the first one."""
    return raw(server=f"t{number}", accepted_seconds=str(1795522239 + number))


def numbers(log: HAProxyAccessLog) -> list[str | None]:
    return [request.target for request in log.forwarded(GROUPS)]


@pytest.mark.parametrize(("since", "first"), [(0, 0), (1, 1), (3, 3), (4, 4), (9, 6)])
def test_rewind(tmp_path: Path, since: int, first: int) -> None:
    """The next records are those that ended at a time or later, also from the second file, and then the new ones."""
    path = tmp_path / "access.log"
    path.write_bytes(b"".join(map(served, range(3))))
    rotate(path, 0, 2**20)
    with path.open("ab") as file:
        file.write(b"".join(map(served, range(3, 6))))
    log = HAProxyAccessLog(path)
    log.rewind(datetime.fromtimestamp(1795522240.146 + since, UTC))
    assert numbers(log) == [f"t{number}" for number in range(first, 6)]
    with path.open("ab") as file:
        file.write(served(6))
    assert numbers(log) == ["t6"]


def test_rewind_after_a_crash_of_a_rotation(tmp_path: Path) -> None:
    """Lines that are in both files are read once."""
    path = tmp_path / "access.log"
    path.write_bytes(b"".join(map(served, range(3))))
    path.with_name("access.log.1").write_bytes(b"".join(map(served, range(3))))
    log = HAProxyAccessLog(path)
    log.rewind(datetime.fromtimestamp(0, UTC))
    assert numbers(log) == ["t0", "t1", "t2"]


def test_rewind_before_a_rotation(tmp_path: Path) -> None:
    """A log that is rotated after `rewind` and before the next call loses no line."""
    path = tmp_path / "access.log"
    path.write_bytes(b"".join(map(served, range(3))))
    for since in (0, 1):
        log = HAProxyAccessLog(path)
        log.rewind(datetime.fromtimestamp(1795522240.146 + since, UTC))
        if since:
            rotate(path, 0, 2**20)
        assert numbers(log) == [f"t{number}" for number in range(since, 3)]


def test_rewind_without_a_log(tmp_path: Path) -> None:
    """A missing log has no records, and those that come later are read."""
    path = tmp_path / "access.log"
    log = HAProxyAccessLog(path)
    log.rewind(datetime.fromtimestamp(0, UTC))
    assert numbers(log) == []
    path.write_bytes(served(1))
    assert numbers(log) == ["t1"]
