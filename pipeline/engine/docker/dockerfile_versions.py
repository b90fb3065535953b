"""The Docker version that a Dockerfile needs, if the syntax built into an older one refuses it.

The versions follow from the release notes of Docker Engine, which name its BuildKit, and those of the Dockerfile
frontend: 1.4 is in Docker 23.0, 1.6 in 25.0, 1.7 in 26.0, 1.10 in 27.3, 1.17 in 28.3, 1.19 in 29.0, and 1.20 in 29.1.
"""

from __future__ import annotations

import re

_FLAGS = {
    "link": ("COPY --link", "23.0"),
    "network": ("RUN --network", "23.0"),
    "checksum": ("ADD --checksum", "25.0"),
    "keep-git-dir": ("ADD --keep-git-dir", "25.0"),
    "start-interval": ("HEALTHCHECK --start-interval", "25.0"),
    "unpack": ("ADD --unpack", "28.3"),
    "exclude": ("COPY --exclude", "29.0"),
    "parents": ("COPY --parents", "29.1"),
    "security": ("RUN --security", "29.1"),
}
# Only in the frontend for experiments.
_LABS = {"device": "RUN --device"}
_SECRET_VARIABLE = re.compile(r"unexpected key 'env' in")
_SUBSTITUTION = re.compile(r"\$\{\w+([#%/+?-])[^\n]*missing ':' in substitution|unsupported modifier \(([#%/])\)")
_UNKNOWN_FLAG = re.compile(r"unknown flag: (?:--)?([\w-]+)", re.IGNORECASE)
_UNKNOWN_INSTRUCTION = re.compile(r"unknown instruction: ", re.IGNORECASE)
_HEREDOC = re.compile(r"^\s*(?:ONBUILD\s+)?(?:RUN|COPY|ADD)\b.*<<-?[\"']?\w+", re.IGNORECASE | re.MULTILINE)


def version_hint(error: str, dockerfile: str = "") -> str | None:
    """Return a hint that names the version, or None if the error has another cause."""
    flag = _UNKNOWN_FLAG.search(error)
    if flag and flag[1].lower() in _FLAGS:
        return _hint(*_FLAGS[flag[1].lower()])
    if flag and flag[1].lower() in _LABS:
        return f"{_LABS[flag[1].lower()]} needs a line `# syntax=docker/dockerfile:1-labs` and a registry"
    if _SECRET_VARIABLE.search(error):
        return _hint("a secret as a variable (`env=`)", "27.3")
    if found := _SUBSTITUTION.search(error):
        operator = found[1] or found[2]
        return _hint(f"`${{NAME{operator}…}}`", "26.0" if operator in "#%/" else "25.0")
    if _UNKNOWN_INSTRUCTION.search(error) and _HEREDOC.search(dockerfile):
        return _hint("a heredoc (`<<`)", "23.0")
    return None


def _hint(what: str, version: str) -> str:
    return f"{what} needs Docker {version} or newer, or a line `# syntax=docker/dockerfile:1` and a registry"
