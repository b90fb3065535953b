"""The user's own way to connect over SSH is kept, and ssh never asks a question."""

from __future__ import annotations

import pytest

from pipeline.base.ssh_command import ssh_command

OPTIONS = " -o BatchMode=yes -o ConnectTimeout=20"


@pytest.mark.parametrize(
    ("environment", "configured", "command"),
    [
        ({}, None, f"ssh{OPTIONS}"),
        ({}, "ssh -i deploy", f"ssh -i deploy{OPTIONS}"),
        ({"GIT_SSH_COMMAND": "ssh -i own"}, "ssh -i deploy", f"ssh -i own{OPTIONS}"),
        ({"GIT_SSH_COMMAND": ""}, "ssh -i deploy", f"ssh -i deploy{OPTIONS}"),
        ({"GIT_SSH": "/opt/my tools/ssh"}, None, f"'/opt/my tools/ssh'{OPTIONS}"),
        ({"GIT_SSH": "/opt/plink.exe"}, None, "/opt/plink.exe"),
        ({"GIT_SSH": "/opt/wrapper"}, "ssh -i deploy", f"ssh -i deploy{OPTIONS}"),
        ({"GIT_SSH_COMMAND": "SSH_AUTH_SOCK=/a ssh"}, None, f"SSH_AUTH_SOCK=/a ssh{OPTIONS}"),
        ({"GIT_SSH_COMMAND": "ssh -i a 2>/tmp/log"}, None, "ssh -i a 2>/tmp/log"),
        ({"GIT_SSH_COMMAND": "ssh -i 'a"}, None, "ssh -i 'a"),
        ({"GIT_SSH_COMMAND": "sshpass -f p ssh"}, None, "sshpass -f p ssh"),
        ({"GIT_SSH_COMMAND": "A=1"}, None, "A=1"),
    ],
)
def test_the_command(environment: dict[str, str], configured: str | None, command: str) -> None:
    """GIT_SSH_COMMAND counts before core.sshCommand, and that before GIT_SSH, as for git."""
    assert ssh_command(environment, configured) == command
