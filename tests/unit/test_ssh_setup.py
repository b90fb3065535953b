"""The set-up of SSH leaves nothing on the machine when it is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.waiting import DEADLINE, until

# Runs until a signal ends it, once the file is there.
_APT = """#!/bin/sh
[ "$1" = install ] || exit 0
echo > {started}
exec /bin/sleep 600
"""


def _program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)


def _copy(folder: Path) -> Path:
    """Return a copy of the script that writes to a folder instead of /usr/sbin. It finds neither ssh nor sshd."""
    programs = folder / "bin"
    programs.mkdir()
    _program(programs, "apt-get", _APT.format(started=folder / "started"))
    _program(programs, "id", "#!/bin/sh\necho 0\n")
    for name in ("rm", "chmod"):
        (programs / name).symlink_to(f"/bin/{name}")
    script = folder / "ssh.sh"
    script.write_text((ROOT / "setup/ssh.sh").read_text().replace("/usr/sbin", str(folder)))
    return script


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_installation(tmp_path: Path, number: signal.Signals) -> None:
    """Services of the machine may be started again, and the exit code is that of the signal."""
    script, policy = _copy(tmp_path), tmp_path / "policy-rc.d"
    # A test run in the background ignores SIGINT, which no shell could change.
    command = ["/usr/bin/env", "--default-signal=HUP,INT,TERM", "/bin/sh", str(script)]
    with subprocess.Popen(
        command, env={"PATH": str(tmp_path / "bin")}, stdout=subprocess.DEVNULL, start_new_session=True
    ) as setup:
        try:
            until((tmp_path / "started").exists, "the installation")
            assert policy.exists()
        finally:
            os.killpg(setup.pid, number)
        assert setup.wait(DEADLINE) == 128 + number
    assert not policy.exists()
