"""Commands of a Compose file for pipeline.yaml, whose commands cannot contain secrets."""

from __future__ import annotations

import shlex

from pipeline.compose.interpolation import Variable, parse_text
from pipeline.compose.variables import escaped
from pipeline.compose.view import View

_SHELLS = frozenset({"sh", "bash", "ash", "/bin/sh", "/bin/bash", "/bin/ash", "/usr/bin/sh", "/usr/bin/bash"})


def command_of(view: View, key: str, words: list[str], environment: dict[str, str | None]) -> list[str]:
    """Return the words of a command, with references instead of variables.

    A secret in it is read from the container's environment by a shell. It is added to `environment`.
    """
    place, path = view.place(key), view.where(key)
    secrets: set[str] = set().union(*(view.variables.names(word, place, path) for word in words))
    if not secrets:
        return [view.variables.refer(word, place, path) for word in words]
    if words[0].startswith("-"):
        # Arguments of the image's own program, which no shell can come before.
        names = ", ".join(sorted(secrets))
        view.report.note(f"{place}: {path} has {names} in it, which the environment of the daemon must have")
        return [view.variables.refer(word, place, path) for word in words]
    for name in sorted(secrets):
        value = view.variables.resolve(f"${{{name}:-}}", place, path) or None
        environment.setdefault(name, view.variables.add_secret(name, value, ""))
    view.report.note(
        f"{place}: {path} has {', '.join(sorted(secrets))} in it, which is a secret: a shell reads it from the "
        "container's environment instead"
    )
    if len(words) == 3 and words[0] in _SHELLS and words[1].startswith("-") and words[1].endswith("c"):
        return [*words[:2], _script(view, key, words[2], secrets, quoted=False)]
    script = " ".join(_script(view, key, word, secrets, quoted=True) for word in words)
    return ["sh", "-c", script if key == "test" else f"exec {script}"]


def _script(view: View, key: str, text: str, secrets: set[str], *, quoted: bool) -> str:
    """Return a text for a shell, in which secrets are the shell's variables and the others are references."""
    place, path = view.place(key), view.where(key)
    parts = []
    for part in parse_text(text):
        if isinstance(part, Variable) and part.name in secrets:
            parts.append(f'"$${{{part.name}}}"' if quoted else f"$${{{part.name}}}")
        elif isinstance(part, Variable):
            parts.append(view.variables.refer(f"${{{part.name}}}", place, path))
        else:
            parts.append(escaped(shlex.quote(part) if quoted else part))
    return "".join(parts)
