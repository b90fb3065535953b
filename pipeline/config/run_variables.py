"""Variables of a run, such as `${commit}`. They stay in the configuration until their value is known."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.config.document import ANY_KEY, KeyPath, dotted
from pipeline.config.secrets import escape_references

_FORMS = {
    "commit": "[0-9a-f]{40,64}",
    "short_commit": "[0-9a-f]{7}",
    "branch": ".+",
    "run": "[0-9]+",
    "release": "[0-9]+",
}
RUN_VARIABLES = frozenset(_FORMS)
"""The names of the variables. A parameter of such a name goes before."""

REFERENCE = re.compile(rf"\$\{{({'|'.join(_FORMS)})\}}")
"""A reference. Its group is the name of the variable."""

_OF_BUILD: tuple[KeyPath, ...] = (("build", "args"), ("build", "push"), ("build", "labels"))
_OF_DEPLOY: tuple[KeyPath, ...] = (
    ("deploy", "environment"),
    ("deploy", "labels"),
    ("deploy", "services", ANY_KEY, "environment"),
    ("deploy", "services", ANY_KEY, "labels"),
    ("deploy", "release_command", "environment"),
)


@dataclass(frozen=True)
class RunVariables:
    """The values of a run's variables. None: the value is not known, and the reference stays as it is.

    `branch` is the branch, tag or commit that is run, `short_commit` the first seven digits of `commit`.
    """

    commit: str | None = None
    short_commit: str | None = None
    branch: str | None = None
    run: int | None = None
    release: int | None = None

    def fill(self, text: str, quote: Callable[[str], str] = str) -> str:
        """Return a text with its references replaced by values. `quote` is applied to each value.

        A literal stays escaped, see `unescape`.
        """

        def value(match: re.Match[str]) -> str:
            found = getattr(self, match[1])
            return match[0] if found is None else quote(str(found))

        return REFERENCE.sub(value, text)

    def fill_plain(self, text: str, quote: Callable[[str], str] = str) -> str:
        """Return a text with its references replaced by values, and with literals as they were meant."""
        return unescape(self.fill(text, quote))


def escape(text: str) -> str:
    """Escape a text so that it has no reference to a secret and to a variable, only literals."""
    return REFERENCE.sub(lambda match: f"${{{{}}{match[0][2:]}", escape_references(text))


def unescape(text: str) -> str:
    """Return a text with its literals as they were meant. For texts without secrets."""
    return text.replace("${{}", "${")


def names_in(text: str) -> frozenset[str]:
    """Return the names of the variables in a text."""
    return frozenset(REFERENCE.findall(text))


def fits(text: str, value: str) -> bool:
    """Return whether a text with variables may have become `value`."""
    parts = REFERENCE.split(text)
    # Every second part is the name of a variable.
    pattern = "".join(_FORMS[part] if index % 2 else re.escape(part) for index, part in enumerate(parts))
    return len(parts) > 1 and re.fullmatch(pattern, value, re.DOTALL) is not None


def is_place(path: KeyPath) -> bool:
    """Return whether the text at `path` of a pipeline.yaml may have variables."""
    return _is_in(path, _OF_BUILD) or _is_in(path, _OF_DEPLOY)


def refusal(name: str, path: KeyPath) -> tuple[str, str] | None:
    """Return why a variable must not be at `path`, and a hint. None if it may."""
    if _is_in(path, _OF_DEPLOY) or (_is_in(path, _OF_BUILD) and name != "release"):
        return None
    if _is_in(path, _OF_BUILD):
        return "must not contain ${release}, whose number is not known before the deployment", "write ${run} instead"
    *places, last = (dotted(place).replace(ANY_KEY, "NAME") for place in (*_OF_BUILD, *_OF_DEPLOY))
    return (
        f"must not contain ${{{name}}}",
        f"variables of a run are allowed in {', '.join(places)} and {last} only; for a literal write $${{{name}}}",
    )


def _is_in(path: KeyPath, places: tuple[KeyPath, ...]) -> bool:
    return any(
        len(path) >= len(place) and all(part in (key, ANY_KEY) for key, part in zip(path, place, strict=False))
        for place in places
    )
