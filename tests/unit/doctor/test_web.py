"""What `pipeline doctor` says of the web interface."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from pipeline.base.home import Home
from pipeline.doctor.context import DoctorContext
from pipeline.doctor.finding import Status
from pipeline.doctor.web import web_checks
from tests.unit.doctor.subject import found_by


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})


def found(home: Home) -> list[tuple[Status, str]]:
    return [(each.status, each.message) for each in found_by(web_checks, DoctorContext(home, {}))]


def test_without_settings_nothing_is_said(home: Home) -> None:
    """The web interface needs no file."""
    assert found(home) == []


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("hosts: [ci]", Status.OK, "web.yaml is valid"),
        (
            "proxies: [127.0.0.1]\nidentity: {header: Remote-User}",
            Status.OK,
            "web.yaml is valid; users are named by remote-user of its proxies",
        ),
        ("certificate: /none.pem\nkey: /none.key", Status.FAILED, "[Errno 2] No such file or directory: '/none.pem'"),
    ],
)
def test_settings(text: str, status: Status, message: str, home: Home) -> None:
    """What is set is named."""
    home.web_settings.write_text(text)
    assert found(home) == [(status, message)]


def test_a_mistake_has_its_place(home: Home) -> None:
    """It is the same as when the daemon starts."""
    home.web_settings.write_text("host: ci")
    ((status, message),) = found(home)
    assert status is Status.FAILED
    assert "1:1: host: unknown key" in message


@pytest.mark.parametrize(
    ("days", "status", "part"),
    [
        (60, Status.OK, "expires in 59 days"),
        (5, Status.WARNING, "expires in 4 days"),
        (-2, Status.FAILED, "expired on "),
    ],
)
def test_the_end_of_a_certificate(days: int, status: Status, part: str, home: Home, tmp_path: Path) -> None:
    """It is told two weeks before."""
    end = datetime.now(UTC) + timedelta(days=days)
    issued = trustme.CA().issue_cert("ci", not_before=end - timedelta(days=90), not_after=end)
    issued.cert_chain_pems[0].write_to_path(tmp_path / "web.pem")
    home.web_settings.write_text(f"certificate: {tmp_path}/web.pem\nkey: {tmp_path}/web.key")
    ((found_status, message),) = found(home)
    assert found_status is status
    assert part in message


def test_a_file_without_a_certificate(home: Home, tmp_path: Path) -> None:
    """A key in the place of the certificate is a failure."""
    (tmp_path / "web.pem").write_text("x")
    home.web_settings.write_text(f"certificate: {tmp_path}/web.pem\nkey: {tmp_path}/web.key")
    assert found(home) == [(Status.FAILED, f"{tmp_path}/web.pem has no certificate in PEM")]
