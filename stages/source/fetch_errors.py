"""The error of a repository that cannot be read: the reason among the lines that git, ssh and a forge print."""

from __future__ import annotations

import os
import pwd
import re
from dataclasses import dataclass

from pipeline.base.errors import ConfigError, PenstockError, StageFailed
from pipeline.base.git import GitFailed

_PREFIX = re.compile(r"^(?:(?:remote|fatal|error|ERROR|ssh):(?:\s+|$))+")
# Others may be a greeting, or what follows from the error.
_ERROR = re.compile(r"(?:remote:\s+)?(?:fatal|error|ERROR):")
# Lines without the reason: those of git after ssh has failed, and decorations of a forge.
_NOISE = re.compile(
    r"[\W_]*|Could not read from remote repository\.|Please make sure you have the correct access rights"
    r"|and the repository exists\.|the remote end hung up.*|early EOF|index-pack failed|protocol error: bad pack header"
    r"|fetch-pack: (?:invalid index-pack output|unexpected disconnect.*)"
    r"|.*died with error\.|(?:git upload-pack: )?aborting due to possible repository corruption.*"
    r"|Warning: Permanently added.*|hint: .*|(?:asked for|redirect): .*",
    re.IGNORECASE,
)
_MAX_LINES = 20


@dataclass(frozen=True)
class _Cause:
    """A known cause. `sign` is searched in each line, and `reason` stands for the line that has it.

    `with_line` is a sign that another line must have. A warning is the cause of some failures, and not of others.
    """

    sign: str
    hint: str
    reason: str = ""
    with_line: str = ""


_NO_REPOSITORY = "there is no git repository at this address"
_ADDRESS = "check the address, and whether {user} may read it"
_REFUSED = r"Permission denied \(|Too many authentication failures"
_NETWORK = "check the address, the network and the firewall"
# The first one that matches counts.
_CAUSES = (
    # First, because the fetch from its remote may have failed for any of the other causes.
    _Cause(
        r"lazy fetching disabled|from promisor remote",
        "name its remote in source.repository, or complete it: git fetch --refetch --no-filter",
        "it is a partial clone, and objects that it lacks cannot be fetched from its remote",
    ),
    _Cause(
        r"No space left on device|Disk quota exceeded", "make room on the disk that the line names, or of this machine"
    ),
    _Cause(
        r"unpack-objects failed|unable to read [0-9a-f]{4}|not our ref 0{40}|bad object|object .*corrupt|is corrupted"
        r"|object file .* is empty|missing (?:blob|tree|commit)|did not send all necessary objects|inflate: data stream"
        r"|invalid sha1 pointer|unable to normalize alternate|not a valid object|object directory .* does not exist",
        "run git fsck in the repository, and restore what it names from a clone or a backup",
        "the repository is damaged: {line}",
    ),
    _Cause(
        r"not our ref",
        "run git fsck in the repository; if it finds nothing, the ref has moved meanwhile: pipeline retry",
        "the repository is damaged: it lists a ref whose commit it does not have",
    ),
    _Cause(
        r"cannot run \S*ssh\b|ssh: (?:command )?not found",
        "apt-get install openssh-client",
        "ssh is not installed",
    ),
    _Cause(
        r"cannot run .*: No such file|unable to fork",
        "check the program in core.sshCommand, GIT_SSH_COMMAND or GIT_SSH",
    ),
    _Cause(
        r"'remote-\S+' is not a git command|remote helper for '",
        "check what stands before :// in the address, such as https or ssh",
        "git does not know this kind of address",
    ),
    _Cause(
        r"REVOKED HOST KEY|host key .* revoked|marked as revoked",
        "do not connect: ask the operator of {host} for its new key, and why the old one was revoked",
        "the host key of {host} is revoked",
    ),
    _Cause(
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "if the new key is right, run as {user}: ssh-keygen -R '{known}' && {scan} >> ~/.ssh/known_hosts",
        "the host key of {host} has changed",
    ),
    _Cause(
        r"Host key verification failed|host key is known for",
        "compare the key of {host} with the published one, then run as {user}: {scan} >> ~/.ssh/known_hosts",
    ),
    _Cause(r"SSH key has expired", "add a new key of {user} at {host}, or renew the old one there"),
    _Cause(
        r"SAML SSO",
        "authorize the key or the token of {user} for the organization at {host}",
        "the organization requires single sign-on (SAML SSO)",
    ),
    _Cause(
        r"Permissions \d+ for .* are too open|Load key .*: bad permissions",
        "run as {user}, with the file of the key: chmod 600 FILE",
        with_line=_REFUSED,
    ),
    _Cause(
        r"Load key ",
        "ssh of {user} cannot use this key: it must be readable and hold a whole private key, not the public one",
        with_line=_REFUSED,
    ),
    _Cause(
        r"[Ii]dentity file .* not accessible|no such identity",
        "check the path of the key in ~/.ssh/config, core.sshCommand or GIT_SSH_COMMAND of {user}",
        with_line=_REFUSED,
    ),
    _Cause(
        _REFUSED,
        "ssh used the keys of {user} (in {home}/.ssh, and of its agent): add one of them at {host}",
    ),
    _Cause(r"timed out|did not finish within|too slow|Timeout was reached", _NETWORK),
    _Cause(r"Could not resolve host|Name or service not known|in name resolution", "check the name of the host"),
    _Cause(r"Connection refused|Couldn't connect|No route to host|Network is unreachable", _NETWORK),
    _Cause(r"could not read Username", "give git a credential helper, or use ssh"),
    _Cause(
        r"could not read Password|Authentication failed|HTTP Basic: Access denied|returned error: 401",
        "check the user name and the password or token, and when it expires",
    ),
    _Cause(r"returned error: 403", "the server knows {user} or its token, and does not let it read this repository"),
    _Cause(
        r"Repository not found|repository '.*' not found|does not appear to be a git repository|does not exist"
        r"|could not be found|[Aa]ccess denied",
        _ADDRESS,
    ),
    _Cause(
        r"is this a git repository|update url base from redirection|no git answers",
        "open the address in a browser: it responds, but not as a git server",
        _NO_REPOSITORY,
    ),
    _Cause(
        r"bad line length|invalid server response|expected service",
        "the response is not from git: check the address, and that the login shell there prints nothing",
    ),
    _Cause(r"redirects followed", "check the address: it redirects to itself", "the address redirects endlessly"),
    _Cause(
        r"certificate|SSL", "git trusts the certificates in http.sslCAInfo: git config --global http.sslCAInfo FILE"
    ),
    _Cause(
        r"Out of memory|cannot allocate memory|printed more than",
        "check the address: a repository of this size cannot be fetched",
        "it has more refs than fit into memory",
    ),
    _Cause(
        r"transport '\w+' not allowed",
        "allow it for {user}: git config --global protocol.file.allow always",
    ),
    _Cause(r"(?i)denied|forbidden|unauthorized", _ADDRESS),
)


def explain(error: GitFailed, location: str) -> PenstockError:
    """Return the error of a repository that cannot be read. It has the cause, and a hint if the cause is known."""
    text = str(error)
    if "dubious ownership" in text:
        return ConfigError(
            f"{location} belongs to another user, and git will not read it",
            hint=f"trust it: git config --global --add safe.directory {location}",
        )
    printed = {_PREFIX.sub("", line.strip()).strip(): bool(_ERROR.match(line)) for line in text.splitlines()}
    lines = [line for line in printed if not _NOISE.fullmatch(line)] or ["git reported no reason"]
    for cause in _CAUSES:
        found = _find(cause.sign, lines)
        if found is not None and _find(cause.with_line, lines) is not None:
            words = {**_words(location), "line": found}
            return _failed(location, (cause.reason or "{line}").format(**words), lines, cause.hint.format(**words))
    # The first error has led to the others.
    errors = [line for line in lines if printed.get(line)]
    others = [line for line in lines if not line.lower().startswith("warning:")]
    return _failed(location, (errors or others or lines)[0], lines, None)


def _find(sign: str, lines: list[str]) -> str | None:
    return next((line for line in lines if re.search(sign, line)), None)


def _failed(location: str, reason: str, lines: list[str], hint: str | None) -> StageFailed:
    tail = tuple(lines[-_MAX_LINES:]) if lines != [reason] else ()
    return StageFailed(f"cannot fetch {location}: {reason}", hint=hint, tail=tail)


def _words(location: str) -> dict[str, str]:
    match = re.match(r"(?:[\w+.-]+://)?(?:[^@/]*@)?(\[[^\]]*\]|[^:/]+)(?::(\d+)(?:/|$))?", location)
    host, port = (match[1], match[2]) if match else (location, None)
    try:
        account = pwd.getpwuid(os.geteuid())
        user, home = account.pw_name, account.pw_dir
    except KeyError:
        user, home = f"user {os.geteuid()}", "~"
    return {
        "host": host,
        "known": f"[{host}]:{port}" if port else host,
        "scan": f"ssh-keyscan -p {port} {host}" if port else f"ssh-keyscan {host}",
        "user": user,
        "home": home,
    }
