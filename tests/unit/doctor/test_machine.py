"""The checks of the machine and the home."""

from __future__ import annotations

import resource
import zoneinfo
from pathlib import Path

import pytest

from pipeline.base.home import Home
from pipeline.doctor.context import DoctorContext
from pipeline.doctor.finding import Finding
from pipeline.doctor.home_folder import file_system, free_space, home_checks
from pipeline.doctor.machine import machine_checks, open_files
from tests.unit.doctor.subject import found_by

GIB = 2**30
ROOT = Path("/srv/penstock")
MOUNTS = (
    "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw",
    "30 22 0:40 / /srv rw,relatime - {} server:/srv rw",
    "31 22 0:41 / /srv/pen rw - tmpfs tmpfs rw",
)


def test_a_machine_without_git(tmp_path: Path) -> None:
    """The command that installs it is named."""
    found = found_by(machine_checks, DoctorContext(Home(tmp_path), {"PATH": str(tmp_path)}))
    assert found[0] == Finding.failed("git", "it is not installed", "sudo apt-get install git")


def test_a_git_that_does_not_work(tmp_path: Path) -> None:
    """Its own message is shown."""
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\necho no library >&2\nexit 127\n")
    program.chmod(0o700)
    found = found_by(machine_checks, DoctorContext(Home(tmp_path), {"PATH": str(tmp_path)}))
    assert found[0] == Finding.failed("git", f"{program} does not work: no library", "sudo apt-get install git")


@pytest.mark.parametrize(
    ("limit", "finding"),
    [
        (resource.RLIM_INFINITY, Finding.ok("open files", "no limit for a process")),
        (4096, Finding.ok("open files", "4096 for a process, about 2048 connections")),
        (
            1024,
            Finding.warning(
                "open files",
                "a process may open 1024 files, and HAProxy needs two for each connection",
                "add `LimitNOFILE=65536` to the unit, or `ulimit -Hn 65536` as root",
            ),
        ),
    ],
)
def test_the_limit_of_open_files(limit: int, finding: Finding) -> None:
    """It limits the connections of HAProxy."""
    assert open_files(limit) == finding


def test_a_machine_without_time_zones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Schedules with a time zone are refused there."""

    def unknown(name: str) -> None:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr("pipeline.doctor.machine.ZoneInfo", unknown)
    found = found_by(machine_checks, DoctorContext(Home(tmp_path), {"PATH": "/usr/bin"}))
    text = "this machine has no data of time zones, so `timezone` of a schedule is refused"
    assert found[-1] == Finding.warning("time zones", text, "sudo apt-get install tzdata")


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_home_on_a_network(kind: str) -> None:
    """Locks do not hold between machines."""
    found = file_system(ROOT, Path("/srv"), [line.format(kind) for line in MOUNTS])
    text = f"/srv/penstock is on {kind}, where locks and sockets of several machines meet"
    assert found == Finding.failed("home", text, "set PENSTOCK_HOME to a directory on a local disk")


def test_a_home_in_memory() -> None:
    """The longest folder above it that is mounted counts."""
    home = Path("/srv/pen/home")
    found = file_system(home, home, [line.format("nfs4") for line in MOUNTS])
    text = "/srv/pen/home is on tmpfs, and is lost when the machine restarts"
    assert found == Finding.warning("home", text, "set PENSTOCK_HOME to a directory on a disk")


def test_a_home_on_a_disk() -> None:
    """Whether it exists is said too. A folder with the same beginning is another one."""
    mounts = [line.format("nfs4") for line in (MOUNTS[0], MOUNTS[2])]
    assert file_system(ROOT, ROOT, mounts) == Finding.ok("home", "/srv/penstock, on ext4")
    made = file_system(ROOT, Path("/srv"), mounts)
    assert made == Finding.ok("home", "/srv/penstock, made by the first command, on ext4")


def test_a_home_that_others_can_write(tmp_path: Path) -> None:
    """It is refused by every command too."""
    tmp_path.chmod(0o777)
    found = found_by(home_checks, DoctorContext(Home(tmp_path), {}))
    text = f"{tmp_path} can be written by other users (mode 0777)"
    assert found[0] == Finding.failed("home", text, f"chmod 700 {tmp_path}")


def test_a_home_below_a_file(tmp_path: Path) -> None:
    """It cannot be made."""
    (tmp_path / "file").touch()
    found = found_by(home_checks, DoctorContext(Home(tmp_path / "file" / "home"), {}))
    text = f"{tmp_path}/file cannot be written"
    assert found[0] == Finding.failed("home", text, "set PENSTOCK_HOME to a writable directory")


@pytest.mark.parametrize(("free", "status"), [(0.5, "failed"), (1, "warning"), (4.9, "warning"), (5, "ok")])
def test_free_space(free: float, status: str) -> None:
    """Less than 5 GiB is a warning, less than 1 GiB a failure."""
    found = free_space("disk", int(free * GIB), "/srv")
    assert (found.status, found.message) == (status, f"{free:.1f} GiB are free at /srv")
    assert bool(found.hint) == (status != "ok")
