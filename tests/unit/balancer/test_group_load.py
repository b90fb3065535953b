"""The requests of single target groups, read with little work for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.balancer.haproxy.access_log import HAProxyAccessLog
from pipeline.balancer.telemetry.group_load import GroupLoads
from pipeline.base.errors import BalancerFault
from tests.support.access_log import NO_ANSWER, raw


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
