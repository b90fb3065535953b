"""Translation of what ssh reports into errors with hints."""

from __future__ import annotations

import re

from pipeline.base.errors import EngineFault
from pipeline.engine.ssh_address import SshAddress

# ssh's messages, what they mean and what helps. The first one that is found counts.
_KNOWN = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for \S+ has changed",
        "the host key of {host} has changed",
        "if you know why, remove the old key with `ssh-keygen -R {key}`, then accept the new one: `ssh {login}`",
    ),
    (
        r"Host key verification failed|No \S+ host key is known",
        "the host key of {host} is not known",
        "connect once by hand and compare its fingerprint: `ssh {login}`",
    ),
    (
        r"UNPROTECTED PRIVATE KEY FILE",
        "{host} refuses the login, because ssh ignores a key that other users can read",
        "make it readable for its owner only, with `chmod 600`: `ssh {login}` names the file",
    ),
    (
        r"Permission denied|Too many authentication failures|No more authentication methods",
        "{host} refuses the login",
        "install your key with `ssh-copy-id {login}`; one with a passphrase has to be in the agent (`ssh-add`)",
    ),
    (
        r"Could not resolve hostname",
        "the name {host} is unknown",
        "correct the address, or add the name to DNS, /etc/hosts or ~/.ssh/config",
    ),
    (r"Connection refused", "{host} has no SSH server at this port", "start it there, or correct the port"),
    (
        r"timed out|No route to host|Network is unreachable|not responding",
        "{host} does not respond",
        "check that the machine runs and that no firewall is in between: `ssh {login}`",
    ),
    (
        r"closed by|Connection reset|Broken pipe",
        "the connection to {host} was lost",
        "check that the machine runs and that its SSH server accepts you: `ssh {login}`",
    ),
    (r"[Bb]ad configuration option|bad configuration options", "ssh refuses its configuration: {last}", None),
)
# These precede the message that counts.
_NOISE = re.compile(r"^(Warning: Permanently added|\*\* |Could not request local forwarding|@+$)")


def ssh_fault(name: str, address: SshAddress, text: str) -> EngineFault:
    """Return the error for a host that ssh could not reach, from what ssh wrote to its standard error."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _NOISE.match(line)]
    last = lines[-1] if lines else "ssh ended without a message"
    words = {"host": address.host, "login": address.login, "key": _key_name(address), "last": last}
    for pattern, message, hint in _KNOWN:
        if re.search(pattern, text):
            return EngineFault(_prefix(name, address) + message.format(**words), hint=hint and hint.format(**words))
    return EngineFault(_prefix(name, address) + last, hint=f"`ssh {address.login}` shows more")


def no_program(name: str, address: SshAddress) -> EngineFault:
    """Return the error for a machine without ssh."""
    return EngineFault(
        f"{_prefix(name, address)}the program ssh is not installed",
        hint="install it: `sudo apt-get install openssh-client`",
    )


def no_socket(name: str, address: SshAddress, found: str) -> EngineFault:
    """Return the error for a socket that the SSH server does not open.

    `found` is what a command there sees of it: missing, denied, or open. Otherwise it is unknown.
    """
    user = address.user or "the user"
    message, hint = {
        "missing": (f"{address.socket} does not exist there", "start Docker there, or correct the path"),
        "denied": (
            f"{user} has no access to {address.socket} there",
            f"add {user} to the group `docker` there: `sudo usermod -aG docker {address.user or 'USER'}`",
        ),
        "open": (
            f"the SSH server does not connect to {address.socket}",
            "check that Docker runs there and that sshd_config has no `AllowStreamLocalForwarding no`",
        ),
    }.get(
        found,
        (
            f"the SSH server cannot open {address.socket}",
            f"check that Docker runs there and that {user} is in its group `docker`",
        ),
    )
    return EngineFault(_prefix(name, address) + message, hint=hint)


def no_answer(name: str, address: SshAddress, seconds: float) -> EngineFault:
    """Return the error for an engine that is reached and does not respond."""
    return EngineFault(
        f"{_prefix(name, address)}Docker did not respond within {seconds:g} s",
        hint=f"look at Docker there: `ssh {address.login} docker info`",
    )


def not_started(name: str, address: SshAddress, error: OSError) -> EngineFault:
    """Return the error for a tunnel that this machine cannot start, as on a full disk."""
    return EngineFault(f"{_prefix(name, address)}the tunnel cannot be started: {error}")


def path_too_long(name: str, address: SshAddress, path: str, limit: int) -> EngineFault:
    """Return the error for a socket whose path is longer than the kernel allows."""
    return EngineFault(
        f"{_prefix(name, address)}the path of the tunnel's socket is longer than {limit} bytes: {path}",
        hint="set PENSTOCK_HOME to a directory with a shorter path",
    )


def _prefix(name: str, address: SshAddress) -> str:
    return f"host {name} ({address}): "


def _key_name(address: SshAddress) -> str:
    """Return the name under which ssh knows the key of the machine."""
    return f"'[{address.host}]:{address.port}'" if address.port and address.port != 22 else address.host
