"""The base images of a Dockerfile, read without building it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_INSTRUCTION = re.compile(r"\s*(ARG|FROM)\s+(.+?)\s*", re.IGNORECASE)
_FROM = re.compile(r"(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
# One of several on a line: a word, in which quotes may hold spaces.
_ARGUMENT = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-+])([^}]*))?\}|\$(\w+)")


def base_images(dockerfile: str, args: Mapping[str, str]) -> list[str]:
    """The images that the FROM lines name, earlier stages and `scratch` left out, arguments put in.

    An argument without any value leaves an empty name, which the builder then refuses in its own words.
    """
    defaults: dict[str, str] = {}
    stages: set[str] = set()
    images: list[str] = []
    for line in _logical_lines(dockerfile):
        match = _INSTRUCTION.fullmatch(line)
        if match is None:
            continue
        if match[1].upper() == "ARG":
            # Only what is declared before the first FROM counts in a FROM.
            if not stages and not images:
                for declared in _ARGUMENT.findall(match[2]):
                    name, _, default = declared.partition("=")
                    defaults[name] = args.get(name, _expanded(default.replace('"', "").replace("'", ""), defaults))
            continue
        source = _FROM.fullmatch(match[2])
        if source is None:
            continue
        image = _expanded(source[1], defaults)
        if image and image != "scratch" and image.lower() not in stages and image not in images:
            images.append(image)
        stages.add((source[2] or f"#{len(stages)}").lower())
    return images


def _logical_lines(text: str) -> list[str]:
    """Lines with their continuations, comments left out."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def _expanded(text: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: _expand(found, values), text)


def _expand(match: re.Match[str], values: Mapping[str, str]) -> str:
    value = values.get(match[1] or match[4], "")
    if match[2] == "-":
        return value or match[3]
    if match[2] == "+":
        return match[3] if value else ""
    return value
