"""Access logs as requests of a simulation."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.scaling.simulation.log import read_log
from tests.support.alb_entries import START, line, text

HINT = "write one with `pipeline balancer log -n 1000000 > access.log`"
# After the example in AWS's user guide, under access logs.
AWS = (
    "https 2026-03-02T08:00:10.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.086 "
    '0.048 0.037 200 200 0 57 "GET https://www.example.com:443/ HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 '
    "TLSv1.2 arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 "
    '"Root=1-58337281-1d84f3d73c47ec4e58577259" "www.example.com" "-" 1 2026-03-02T08:00:10.015641Z '
    '"authenticate,forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_1234abcd5678ef90'
)
TLS = "tls 2.0 2026-03-02T08:00:00 net/edge/shop 443 127.0.0.1:1 127.0.0.1:443 5 2 100 200 - - - - - - - - - - - -"


def written(folder: Path, *lines: str) -> Path:
    """Write a log."""
    path = folder / "access.log"
    path.write_text(text(lines))
    return path


def test_requests_come_in_the_order_of_their_arrival(tmp_path: Path) -> None:
    """The log is in the order of ends. Arrival is the end less all three times, also across minutes."""
    load = read_log([written(tmp_path, line(2, 0.5), line(1.5, 3), line(65, 0.25), line(59, 7))])
    assert load.start == START.timestamp()
    found = [(round(arrival, 3), service) for arrival, service in load.requests()]
    assert found == [(1.5, 3), (2, 0.5), (59, 7), (65, 0.25)]
    assert (len(load), load.without_time, load.skipped, load.damaged) == (4, 0, 0, 0)


def test_gzip_and_several_files(tmp_path: Path) -> None:
    """Logs may be compressed, and several are read as one."""
    compressed = tmp_path / "log.gz"
    compressed.write_bytes(gzip.compress(text([line(1, 1)]).encode()))
    assert [service for _, service in read_log([written(tmp_path, line(2, 2)), compressed]).requests()] == [1, 2]


def test_requests_without_a_time(tmp_path: Path) -> None:
    """A request that no target answered gets the median time of the others."""
    failed = line(1, -1, target_status_code=None, elb_status_code=503, target=None)
    load = read_log([written(tmp_path, failed, line(2, 1), line(3, 9), line(4, 2))])
    assert [service for _, service in load.requests()] == [2, 1, 9, 2]
    assert load.without_time == 1


def test_other_entries_are_skipped(tmp_path: Path) -> None:
    """Redirects and TLS connections are no load for targets. Damaged lines are counted."""
    redirect = line(1, -1, target_group_arn=None, target=None, actions_executed="redirect")
    wrong = [line(3, 1).replace(" 1.000 ", f" {word} ") for word in ("nan", "inf", "1e999", "x")]
    load = read_log([written(tmp_path, redirect, TLS, "", line(2, 1), line(3, 1)[:90], "http x y", *wrong)])
    assert (len(load), load.skipped, load.damaged) == (1, 2, 6)


@pytest.mark.parametrize(("name", "count"), [("web", 1), ("shop.web", 1), ("my-targets", 1), ("api", 2)])
def test_one_target_group(tmp_path: Path, name: str, count: int) -> None:
    """A target group is selected by its name or its ARN, in logs of Penstock and of AWS."""
    api = {"target_group_arn": "shop.api"}
    path = written(tmp_path, line(1, 1), AWS, line(2, 1, **api), line(3, 1, **api))
    assert len(read_log([path], name)) == count


def test_an_entry_of_aws(tmp_path: Path) -> None:
    """An entry of AWS's own log has the same fields."""
    assert [*read_log([written(tmp_path, AWS)]).requests()] == [(pytest.approx(10.015641, abs=1e-5), 0.048)]


def test_errors(tmp_path: Path) -> None:
    """A log without a usable request is an error with its place and what to do."""
    path = tmp_path / "access.log"
    for content, group, error in [
        ("", None, f"the log has no request to a target\n{HINT}"),
        (TLS, None, f"the log has no request to a target\n{HINT}"),
        (line(1, 1), "api", f"the log has no request to a target of api\n{HINT}"),
        (
            "\nGET / 200",
            None,
            f"{path}:2:1: is not an entry of an Application Load Balancer's access log\n{HINT}",
        ),
        (
            text([line(1, 1), line(1, 1, target_group_arn="shop.api")]),
            None,
            "the log has requests of several target groups: shop.api, shop.web\nchoose one: --target-group",
        ),
    ]:
        path.write_text(content)
        with pytest.raises(ConfigError) as raised:
            read_log([path], group)
        assert str(raised.value) == error


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a directory and an incomplete gzip file are errors."""
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(text([line(1, 1)]).encode())[:-9])
    for path, reason in (
        (tmp_path / "missing", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (cut, "Compressed file ended before the end-of-stream marker was reached"),
    ):
        with pytest.raises(ConfigError) as raised:
            read_log([path])
        assert str(raised.value) == f"cannot read {path}: {reason}"
