"""The requests of single target groups, read with little work for each."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.balancer.access import AccessRecord
from pipeline.balancer.haproxy.access_log import HAProxyAccessLog, LogReader
from pipeline.balancer.haproxy.log_timing import timings
from pipeline.balancer.telemetry.group_load import GroupLoads
from pipeline.base.errors import BalancerFault
from tests.support.access_log import NO_ANSWER, NO_TARGET, OWN, REFUSED, former, raw
from tests.support.sample import sampled

FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "backend": st.sampled_from(["shop.web", "shop.web:b", "shop.edge.8080", "listener.1.2", "relay:3", "blog.api"]),
        "termination": st.sampled_from(["----", "CD--", "PR--", "LR--", "SC--", "sH--", "SH--"]),
        "target_status": st.sampled_from(["-", "200", "0", "-1", "503"]),
        "response": st.sampled_from(["-1", "0", "40", "70000"]),
        "status": st.sampled_from(["200", "503", "301"]),
    },
)


@given(kind=st.sampled_from([raw, former]), fields=FIELDS)
@settings(max_examples=sampled(500), deadline=None)
def test_timings_are_those_of_the_records(kind: type, fields: dict[str, str]) -> None:
    """Group and time of each forwarded request, and nothing for another one."""
    line = kind(fields)
    records = [each for each in LogReader().records([line]) if isinstance(each, AccessRecord) and each.target_group]
    assert list(timings([line])) == [(each.target_group, each.target_time) for each in records]


def test_damaged_lines_are_skipped() -> None:
    """Also notices and lines of other kinds."""
    damaged = raw(response="soon")
    lines = [
        b"",
        b"\n",
        b"tls\tx\n",
        b"Proxy shop stopped.\n",
        raw()[:40],
        b"\t" * 30 + b"\n",
        damaged,
        raw(OWN, backend="listener.1.2"),
        raw(REFUSED),
    ]
    assert list(timings(lines)) == []
    assert list(timings([raw(NO_TARGET | NO_ANSWER, termination="SC--")])) == [("shop.web", None)]


def test_loads_are_counted_from_the_first_look_on(tmp_path: Path) -> None:
    """Each group by itself, and only those that are looked at. What was before is left out."""
    log, now = tmp_path / "access.log", [100.0]
    loads = GroupLoads(lambda: HAProxyAccessLog(log), lambda: now[0])
    assert loads.take("shop.web") is None
    log.write_bytes(raw())
    assert loads.take("blog.web") is None
    with log.open("ab") as file:
        file.write(raw() + raw(response="70") + raw(NO_ANSWER) + raw(backend="blog.web") + raw(backend="other.web"))
    now[0] = 115.0
    found = loads.take("shop.web")
    assert found is not None
    assert (found.seconds, found.requests, list(found.times)) == (15.0, 4, [0.04, 0.04, 0.07])
    other = loads.take("blog.web")
    assert other is not None
    assert (other.requests, list(other.times)) == (1, [0.04])
    again = loads.take("shop.web")
    assert again is not None
    assert (again.seconds, again.requests) == (0.0, 0)


def test_without_a_group_the_log_is_not_read(tmp_path: Path) -> None:
    """The next group begins at the end of the log."""
    log = tmp_path / "access.log"
    loads = GroupLoads(lambda: HAProxyAccessLog(log))
    loads.take("shop.web")
    loads.forget("shop.web")
    log.write_bytes(raw() * 3)
    assert loads.take("shop.web") is None
    found = loads.take("shop.web")
    assert found is not None
    assert found.requests == 0


def test_a_full_disk_hides_no_load(tmp_path: Path) -> None:
    """HAProxy cannot write to the log, so few requests in it do not mean that there were few."""
    log, free = tmp_path / "access.log", [2**30]
    loads = GroupLoads(lambda: HAProxyAccessLog(log), free_bytes=lambda _: free[0])
    loads.take("shop.web")
    free[0] = 2**20
    with pytest.raises(BalancerFault) as caught:
        loads.take("shop.web")
    assert caught.value.message == f"the disk is full, so {log} lacks requests"
    free[0] = 2**30
    log.write_bytes(raw())
    found = loads.take("shop.web")
    assert found is not None
    assert found.requests == 1


def test_a_log_whose_folder_is_gone(tmp_path: Path) -> None:
    """It has no requests, and that proves nothing."""
    log = tmp_path / "gone" / "access.log"
    with pytest.raises(BalancerFault, match=r"cannot read .*gone: No such file"):
        GroupLoads(lambda: HAProxyAccessLog(log)).take("shop.web")
