"""The address of an engine that is reached by SSH."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

DEFAULT_SOCKET = "/var/run/docker.sock"
_FORM = "write ssh://USER@HOST, ssh://USER@HOST:PORT, or with the path of its socket at the end"
# Such a word would be an option of ssh, or more than one word.
_NAME = re.compile(r"[\w.][\w.:%-]*", re.ASCII)


@dataclass(frozen=True)
class SshAddress:
    """A user, a machine and the path of the engine's socket there. `host` may be an alias of ~/.ssh/config.

    Without a user or a port, ssh chooses them.
    """

    host: str
    user: str | None = None
    port: int | None = None
    socket: str = DEFAULT_SOCKET

    @classmethod
    def from_text(cls, text: str) -> SshAddress:
        """Return the address in a text such as `ssh://deploy@app1:22`. Raises `ValueError`."""
        parts = urlsplit(text)
        if parts.scheme != "ssh":
            raise ValueError(f"{text!r} does not begin with ssh://; {_FORM}")
        if parts.password is not None:
            raise ValueError("an address has no password; ssh uses keys")
        if parts.query or parts.fragment:
            raise ValueError(f"{text!r} has more than an address; {_FORM}")
        try:
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise ValueError(f"the port of {text!r} is not a number from 1 to 65535") from None
        # `hostname` is in lower case, but an alias of ~/.ssh/config may not be.
        found = re.search(re.escape(host), parts.netloc.rpartition("@")[2], re.IGNORECASE)
        host = found[0] if found else host
        user = None if parts.username is None else unquote(parts.username)
        for name in (host, *(() if user is None else (user,))):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a name of a user or a host; {_FORM}")
        path = unquote(parts.path)
        # It becomes a part of ssh's argument, where colons divide.
        if not path.isprintable() or ":" in path:
            raise ValueError(f"{path!r} is not the path of a socket")
        return cls(host, user, port, DEFAULT_SOCKET if path in ("", "/") else path)

    @property
    def destination(self) -> tuple[str, ...]:
        """The words that name the machine in a command of ssh."""
        user = ("-l", self.user) if self.user else ()
        port = ("-p", str(self.port)) if self.port else ()
        return (*user, *port, "--", self.host)

    @property
    def login(self) -> str:
        """The words that the user would write after `ssh`."""
        port = f"-p {self.port} " if self.port else ""
        return f"{port}{self.user}@{self.host}" if self.user else f"{port}{self.host}"

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        return f"ssh://{user}{host}{port}{'' if self.socket == DEFAULT_SOCKET else self.socket}"
