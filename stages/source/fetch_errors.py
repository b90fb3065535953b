"""The error of a repository that cannot be read: the reason among the lines that git, ssh and a forge print."""

from __future__ import annotations

import os
import pwd
import re
from dataclasses import dataclass

from pipeline.base.errors import ConfigError, PenstockError, StageFailed
from pipeline.base.git import GitFailed

_PREFIX = re.compile(r"^(?:(?:remote|fatal|error|ERROR|ssh):\s+)+")
# Lines without the reason: those of git after ssh has failed, and decorations of a forge.
_NOISE = re.compile(
    r"[\W_]*|Could not read from remote repository\.|Please make sure you have the correct access rights"
    r"|and the repository exists\.|the remote end hung up.*|early EOF|index-pack failed|protocol error: bad pack header"
    r"|.*died with error\.|(?:git upload-pack: )?aborting due to possible repository corruption.*"
    r"|Warning: Permanently added.*|hint: .*|(?:asked for|redirect): .*",
    re.IGNORECASE,
)
_MAX_LINES = 20


@dataclass(frozen=True)
class _Cause:
    """A known cause. `sign` is searched in each line. `reason`, if set, replaces the line that matches."""

    sign: str
    hint: str
    reason: str = ""


_NO_REPOSITORY = "there is no git repository at this address"
_ADDRESS = "check the address, and whether {user} may read it"
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
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "if the new key is right, run as {user}: ssh-keygen -R '{known}' && {scan} >> ~/.ssh/known_hosts",
        "the host key of {host} has changed",
    ),
    _Cause(
        r"Host key verification failed|host key is known for",
        "compare the key of {host} with the published one, then run as {user}: {scan} >> ~/.ssh/known_hosts",
    ),
    _Cause(
        r"Permission denied \(|Too many authentication failures",
        "ssh used the keys of {user} (in {home}/.ssh, and of its agent): add one of them at {host}",
    ),
    _Cause(r"timed out|did not finish within|too slow|Timeout was reached", _NETWORK),
    _Cause(r"Could not resolve host|Name or service not known|in name resolution", "check the name of the host"),
    _Cause(r"Connection refused|Couldn't connect|No route to host|Network is unreachable", _NETWORK),
    _Cause(r"could not read Username", "give git a credential helper, or use ssh"),
    _Cause(
        r"could not read Password|Authentication failed|Access denied|returned error: 401",
        "check the user name and the password or token, and when it expires",
    ),
    _Cause(r"returned error: 403", "the server knows {user} or its token, and does not let it read this repository"),
    _Cause(
        r"Repository not found|repository '.*' not found|does not appear to be a git repository|does not exist"
        r"|could not be found|access denied",
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
    lines = [_PREFIX.sub("", line.strip()).strip() for line in text.splitlines()]
    lines = [line for line in lines if not _NOISE.fullmatch(line)][-_MAX_LINES:] or ["git reported no reason"]
    for cause in _CAUSES:
        if found := next((line for line in lines if re.search(cause.sign, line)), None):
            reason = (cause.reason or found).format(**_words(location)) if cause.reason else found
            return _failed(location, reason, lines, cause.hint.format(**_words(location)))
    return _failed(location, lines[-1], lines, None)


def _failed(location: str, reason: str, lines: list[str], hint: str | None) -> StageFailed:
    tail = tuple(lines) if lines != [reason] else ()
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
