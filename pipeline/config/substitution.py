"""`${name}`, `${env:NAME}`, `${env:NAME:-default}`, `${secret:NAME}` and variables of a run in a document's values."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.base.errors import Problem
from pipeline.base.suggestion import did_you_mean
from pipeline.config.document import ANY_KEY, Document, KeyPath, dotted
from pipeline.config.run_variables import RUN_VARIABLES, escape, is_place, refusal
from pipeline.config.secrets import escape_references

if TYPE_CHECKING:
    from pipeline.config.policy import Readable

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_ENVIRONMENT = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?")
_SECRET = re.compile(r"secret:([A-Za-z_][A-Za-z0-9_]*)")
_SECRETS_ALLOWED: tuple[KeyPath, ...] = (
    ("deploy", "environment"),
    ("deploy", "services", ANY_KEY, "environment"),
    ("deploy", "release_command", "environment"),
    *(
        (*service, "hooks", ANY_KEY, ANY_KEY, key)
        for service in (("deploy",), ("deploy", "services", ANY_KEY))
        for key in ("environment", "http")
    ),
    ("accessories", ANY_KEY, "environment"),
    ("build", "secrets"),
    ("build", "test", "environment"),
    ("build", "test", "services"),
    ("triggers", "webhooks"),
    ("reporters",),
    ("source", "with"),
    ("build", "with"),
    ("deploy", "with"),
)
# Stands for `${` of a secret while a text is put together. No value can contain it.
_MARK = "\0"


class Substitution:
    """Resolves references. Collects mistakes in `problems`, referenced secrets in `secrets`, variables in `variables`.

    `secrets` has the first place of each secret, `uses` has all places. `broken` has the positions of unresolved
    references. A parameter that is None has been reported before. `readable` limits the environment variables; None
    allows all.
    """

    def __init__(
        self,
        document: Document,
        parameters: Mapping[str, Any],
        environ: Mapping[str, str],
        readable: Readable | None = None,
    ) -> None:
        self._document = document
        self._parameters = parameters
        self._environ = environ
        self._readable = readable
        self.variables: set[str] = set()
        self.problems: list[Problem] = []
        self.secrets: dict[str, KeyPath] = {}
        self.uses: dict[str, list[KeyPath]] = {}
        self.broken: set[KeyPath] = set()

    def apply(self, value: Any, path: KeyPath) -> Any:
        """Return `value` with all references resolved except secrets."""
        if isinstance(value, dict):
            return {key: self.apply(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.apply(item, (*path, index)) for index, item in enumerate(value)]
        return self._text(value, path) if isinstance(value, str) and "${" in value else value

    def _text(self, text: str, path: KeyPath) -> Any:
        whole = _REFERENCE.fullmatch(text)
        if whole and whole[1] is not None:
            value = self._look_up(whole[1], path)
        else:
            value = _REFERENCE.sub(self._replacement(path), text)
        return self._only_own_secrets(value, path) if isinstance(value, str) else value

    def _only_own_secrets(self, text: str, path: KeyPath) -> str:
        """Return a text in which only references that the file itself has are resolved later.

        A parameter, a variable or a literal may contain text that looks like a reference.
        """
        if is_place(path):
            text = escape(text)
        elif _may_have_secrets(path):
            text = escape_references(text)
        return text.replace(_MARK, "${")

    def _replacement(self, path: KeyPath) -> Callable[[re.Match[str]], str]:
        def replace(match: re.Match[str]) -> str:
            if match[1] is None:
                return "${"
            value = self._look_up(match[1], path)
            return str(value).lower() if isinstance(value, bool) else str(value)

        return replace

    def _look_up(self, name: str, path: KeyPath) -> Any:
        if match := _SECRET.fullmatch(name):
            return self._secret(match[1], path)
        if match := _ENVIRONMENT.fullmatch(name):
            variable, default = match[1], match[2]
            if not self._may_read(variable, path):
                return ""
            value = self._environ.get(variable) or default
            if value is None:
                self._report(path, f"environment variable {variable} is not set", f"export {variable}=…")
            return value or ""
        if name in RUN_VARIABLES and name not in self._parameters:
            return self._run_variable(name, path)
        if name not in self._parameters:
            literal = f"for a literal write $${{{name}}}"
            near = did_you_mean(name, [*self._parameters, *(RUN_VARIABLES if is_place(path) else ())])
            self._report(path, f"unknown parameter {name}", f"{near}; {literal}" if near else literal)
            return ""
        if self._parameters[name] is None:
            self.broken.add(path)
            return ""
        return self._parameters[name]

    def _run_variable(self, name: str, path: KeyPath) -> str:
        """Return a reference that is resolved in each run."""
        if found := refusal(name, path):
            self._report(path, *found)
            return ""
        return f"{_MARK}{name}}}"

    def inherited(self, name: str, path: KeyPath) -> str | None:
        """Return the environment variable for a name without a value at `path`. None if it is not set."""
        value = self.variable(name, path)
        return None if value is None else self._only_own_secrets(value, path)

    def variable(self, name: str, path: KeyPath) -> str | None:
        """Return an environment variable. None if it is not set, or if it must not be read, which is a mistake."""
        return self._environ.get(name) if self._may_read(name, path) else None

    @property
    def hint(self) -> str:
        """How a commit may read another environment variable. Empty if all may be read."""
        return self._readable.hint if self._readable else ""

    def readable_variable(self, name: str) -> str | None:
        """Return an environment variable. None if it is not set or must not be read."""
        self.variables.add(name)
        return self._environ.get(name) if self._readable is None or name in self._readable.names else None

    def add_secret(self, name: str, path: KeyPath) -> str:
        """Return the reference to a secret that is used at `path`."""
        self.secrets.setdefault(name, path)
        self.uses.setdefault(name, []).append(path)
        return f"${{secret:{name}}}"

    def secrets_within(self, kept: Collection[str]) -> dict[str, KeyPath]:
        """Return the secrets that may be read, each with its first place. The others become problems.

        `kept` are the names in the secrets file, whose owner has put them there for this pipeline.
        """
        readable = self._readable
        if readable is None or readable.secrets is None:
            return self.secrets
        for name in self.secrets.keys() - readable.secrets - set(kept):
            reason = f"a commit must not use the secret {name}, which the served file does not use"
            self._report(self.secrets.pop(name), reason, readable.secrets_hint)
        return self.secrets

    def _may_read(self, variable: str, path: KeyPath) -> bool:
        self.variables.add(variable)
        if self._readable is None or variable in self._readable.names:
            return True
        self._report(path, f"a commit must not read the environment variable {variable}", self._readable.hint)
        return False

    def _secret(self, name: str, path: KeyPath) -> str:
        if not _may_have_secrets(path):
            *places, last = (dotted(allowed) for allowed in _SECRETS_ALLOWED)
            allowed_in = f"{', '.join(places)} and {last}"
            self._report(path, "must not contain a secret", f"secrets are allowed in {allowed_in} only")
        return self.add_secret(name, path).replace("${", _MARK)

    def _report(self, path: KeyPath, reason: str, hint: str) -> None:
        self.broken.add(path)
        self.problems.append(self._document.problem(path, reason, hint))


def _may_have_secrets(path: KeyPath) -> bool:
    return any(_is_at(path, allowed) for allowed in _SECRETS_ALLOWED)


def _is_at(path: KeyPath, place: KeyPath) -> bool:
    is_long_enough = len(path) >= len(place)
    return is_long_enough and all(part in (key, ANY_KEY) for key, part in zip(path, place, strict=False))
