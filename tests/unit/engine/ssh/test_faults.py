"""The errors of hosts that ssh cannot reach."""

from __future__ import annotations

import pytest

from pipeline.engine.ssh.faults import no_answer, no_program, no_socket, path_too_long, ssh_fault
from pipeline.engine.ssh_address import SshAddress

ADDRESS = SshAddress("app1", "deploy", 2222)
PLACE = "host one (ssh://deploy@app1:2222): "
CHANGED = """@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
Host key for [app1]:2222 has changed and you have requested strict checking.
Host key verification failed.
"""


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            CHANGED,
            "the host key of app1 has changed",
            "if you know why, remove the old key with `ssh-keygen -R '[app1]:2222'`, then accept the new one: "
            "`ssh -p 2222 deploy@app1`",
        ),
        (
            "No ED25519 host key is known for app1 and you have requested strict checking.\n"
            "Host key verification failed.\n",
            "the host key of app1 is not known",
            "connect once by hand and compare its fingerprint: `ssh -p 2222 deploy@app1`",
        ),
        (
            "@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @\n"
            "Permissions 0644 for '/home/ann/.ssh/id_ed25519' are too open.\n"
            "deploy@app1: Permission denied (publickey).\n",
            "app1 refuses the login, because ssh ignores a key that other users can read",
            "make it readable for its owner only, with `chmod 600`: `ssh -p 2222 deploy@app1` names the file",
        ),
        (
            "deploy@app1: Permission denied (publickey,password).\n",
            "app1 refuses the login",
            "install your key with `ssh-copy-id -p 2222 deploy@app1`; one with a passphrase has to be in the agent "
            "(`ssh-add`)",
        ),
        (
            "ssh: Could not resolve hostname app1: Name or service not known\n",
            "the name app1 is unknown",
            "correct the address, or add the name to DNS, /etc/hosts or ~/.ssh/config",
        ),
        (
            "ssh: connect to host app1 port 2222: Connection refused\n",
            "app1 has no SSH server at this port",
            "start it there, or correct the port",
        ),
        (
            "Timeout, server app1 not responding.\n",
            "app1 does not respond",
            "check that the machine runs and that no firewall is in between: `ssh -p 2222 deploy@app1`",
        ),
        (
            "Connection to app1 closed by remote host.\n",
            "the connection to app1 was lost",
            "check that the machine runs and that its SSH server accepts you: `ssh -p 2222 deploy@app1`",
        ),
        (
            "/root/.ssh/config: line 3: Bad configuration option: prot\n/root/.ssh/config: terminating, 1 bad "
            "configuration options\n",
            "ssh refuses its configuration: /root/.ssh/config: terminating, 1 bad configuration options",
            None,
        ),
        (
            "unix_listener: cannot bind to path ./a.sock: Read-only file system\nCould not request local forwarding.\n",
            "unix_listener: cannot bind to path ./a.sock: Read-only file system",
            "`ssh -p 2222 deploy@app1` shows more",
        ),
        ("", "ssh ended without a message", "`ssh -p 2222 deploy@app1` shows more"),
    ],
)
def test_a_message_of_ssh_is_translated(text: str, message: str, hint: str | None) -> None:
    """It says what is wrong with which host, and what to type."""
    fault = ssh_fault("one", ADDRESS, text)
    assert (fault.message, fault.hint) == (PLACE + message, hint)


@pytest.mark.parametrize(
    ("found", "message", "hint"),
    [
        (
            "missing",
            "/var/run/docker.sock does not exist there",
            "start Docker there, or correct the path",
        ),
        (
            "denied",
            "deploy has no access to /var/run/docker.sock there",
            "add deploy to the group `docker` there: `sudo usermod -aG docker deploy`",
        ),
        (
            "open",
            "the SSH server does not connect to /var/run/docker.sock",
            "check that Docker runs there and that sshd_config has no `AllowStreamLocalForwarding no`",
        ),
        (
            "",
            "the SSH server cannot open /var/run/docker.sock",
            "check that Docker runs there and that deploy is in its group `docker`",
        ),
    ],
)
def test_a_socket_that_is_not_opened(found: str, message: str, hint: str) -> None:
    """The server does not say why, so a command there looks at the socket."""
    fault = no_socket("one", ADDRESS, found)
    assert (fault.message, fault.hint) == (PLACE + message, hint)


def test_other_faults() -> None:
    """Each names the host and its address."""
    faults = [
        no_program("one", ADDRESS),
        no_answer("one", ADDRESS, 10.0),
        path_too_long("one", ADDRESS, "/home/hosts/one.sock", 107),
    ]
    assert [fault.message for fault in faults] == [
        f"{PLACE}the program ssh is not installed",
        f"{PLACE}Docker did not respond within 10 s",
        f"{PLACE}the path of the tunnel's socket is longer than 107 bytes: /home/hosts/one.sock",
    ]
