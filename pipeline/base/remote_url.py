"""The URL of a git repository, with its credentials separated."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import unquote

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)
# The schemes for which git sends a user name and a password.
_WITH_PASSWORD = frozenset({"http", "https", "ftp", "ftps"})
# Helpers that run any command, or read a descriptor that Penstock does not open.
_NO_REMOTES = ("ext::", "fd::")
# Tokens that are written in place of a user name are longer than names of people.
_TOKEN_LENGTH = 16
_USERNAME, _PASSWORD = "PENSTOCK_GIT_USERNAME", "PENSTOCK_GIT_PASSWORD"
# Git runs it in a shell. The values are in the environment, which only the same user can read, never in an argument.
_ANSWER = f"""printf 'username=%s\\npassword=%s\\n' "${_USERNAME}" "${_PASSWORD}\""""
_HELPER = f"""!f() {{ if test "$1" = get; then {_ANSWER}; fi; }}; f"""


@dataclass(frozen=True)
class RemoteUrl:
    """A URL or an scp-like address. `url` has no credentials, so it may be an argument of a command."""

    url: str
    username: str = field(default="", repr=False)
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a URL. Raises `ValueError`, whose text never contains the URL."""
        if text.startswith(_NO_REMOTES):
            raise ValueError(f"{text.partition('::')[0]}:: is not the address of a repository")
        match = _URL.fullmatch(text)
        if match is None or match[1].lower() == "file":
            return cls(text)
        scheme, authority, path = match[1].lower(), match[2], match[3]
        userinfo, _, host = authority.rpartition("@")
        plain = scheme not in _WITH_PASSWORD
        # An `@` after the first slash may end a password that contains the slash, as in https://ann:a/b@host/shop.
        # It does not if what comes before the slash can only be a host.
        is_host = ":" not in host and (plain or (not userinfo and "." in host))
        if "@" in path and not is_host:
            raise ValueError("write @ as %40 and / as %2F, in the password and in the path")
        if plain and ":" in userinfo:
            raise ValueError(f"a URL with {scheme}:// cannot hold a password: use a key")
        if plain:
            return cls(text)
        name, colon, password = userinfo.partition(":")
        name, password = unquote(name), unquote(password)
        if re.search(r"[\0\r\n]", name + password):
            raise ValueError("a user name or a password cannot contain a line break")
        return cls(f"{match[1]}://{host}{path}", name, password if colon else None)

    @classmethod
    def secrets_in(cls, repository: str) -> tuple[str, ...]:
        """Return what must not be shown of a path or URL. One that is not valid has been refused before."""
        return cls.parse(repository).secrets() if is_url(repository) else ()

    def secrets(self) -> tuple[str, ...]:
        """Return what must not be shown: the password, and a token in place of the user name."""
        tokens = (self.username,) if len(self.username) >= _TOKEN_LENGTH else ()
        return (*tokens, self.password) if self.password else tokens

    def environment(self) -> dict[str, str]:
        """Return the variables by which git gets the credentials, for this host only."""
        if not self.username and self.password is None:
            return {}
        match = _URL.fullmatch(self.url)
        assert match is not None
        key = f"credential.{match[1]}://{match[2]}.helper"
        # An empty helper removes the user's own. They stay if they are to supply the password of the user name.
        helpers = [_HELPER] if self.password is None else ["", _HELPER]
        settings = [(key, helper) for helper in helpers]
        if self.password is None:
            settings.insert(0, (key.removesuffix("helper") + "username", self.username))
        return {
            "GIT_CONFIG_COUNT": str(len(settings)),
            **{f"GIT_CONFIG_KEY_{index}": name for index, (name, _) in enumerate(settings)},
            **{f"GIT_CONFIG_VALUE_{index}": value for index, (_, value) in enumerate(settings)},
            _USERNAME: self.username,
            _PASSWORD: self.password or "",
        }

    def __str__(self) -> str:
        """Return the URL as it is shown."""
        if not self.username and self.password is None:
            return re.sub(r"://[^/?#]*@", "://***@", self.url)
        return self.url.replace("://", "://***@", 1)


def is_url(repository: str) -> bool:
    """Return whether git would reach it over a network: `scheme://…`, or `host:path` as ssh has it."""
    if "://" in repository or re.match(r"[A-Za-z0-9][A-Za-z0-9+.-]*::", repository):
        return True
    address = re.match(r"(?:[^/\s]+@)?[^/:\s]+:(?!/?/)", repository)
    return address is not None and not Path(repository).exists()


def resolve_relative(url: str, base: str) -> str:
    """Return the URL that a submodule's URL such as `../lib.git` means, as git does."""
    if not url.startswith(("./", "../")):
        return url
    base = base.rstrip("/")
    while url.startswith(("./", "../")):
        if url.startswith("../"):
            # Without a slash, the part after the colon of `host:path` is removed.
            place = base.rfind("/") if "/" in base else base.rfind(":") + 1
            base = base[: max(place, 0)]
            url = url[3:]
        else:
            url = url[2:]
    return f"{base}{'' if base.endswith(':') else '/'}{url}".rstrip("/")
