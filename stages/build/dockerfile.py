"""The inputs of a Dockerfile besides the context, read without building it."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from pipeline.base.whole_number import whole_number
from stages.build.expansion import BadSubstitution, expand
from stages.build.instructions import Instruction, escape_character, instructions

_FROM = re.compile(r"(\S+)(?:\s+AS\s+(\S+))?\s*", re.IGNORECASE)
# A word of a line. Quotes in it may contain spaces.
_WORD = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")
_REMOTE = re.compile(r"https?://|git://|ssh://|[\w-]+@[\w.-]+:", re.IGNORECASE)


@dataclass
class Stage:
    """A stage. `sources` are the images and stages that it is made from or that its steps read."""

    name: str | None
    sources: list[str] = field(default_factory=list)
    remote: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Inputs:
    """The inputs of an image. `remote` are addresses whose content may change without notice."""

    images: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()


def inputs_of(
    dockerfile: str,
    args: Mapping[str, str],
    *,
    target: str | None = None,
    platforms: Mapping[str, str] | None = None,
    every_stage: bool = False,
) -> Inputs:
    """Return the inputs of the target, or of the last stage, with arguments put in.

    `platforms` are the arguments that BuildKit sets, such as TARGETARCH. With `every_stage`, stages that the target
    does not need count too. An argument without a value gives an empty name, which the builder refuses.
    """
    known = {name: args.get(name, value) for name, value in (platforms or {}).items()}
    stages = _stages(dockerfile, known, args)
    last = _find(stages, target, len(stages)) if target else None
    last = len(stages) - 1 if last is None else last
    needed = range(last + 1) if every_stage else sorted(_needed(stages, last))
    images: dict[str, None] = {}
    remote: dict[str, None] = {}
    for index in needed:
        remote.update(dict.fromkeys(stages[index].remote))
        for source in stages[index].sources:
            if source and source.lower() != "scratch" and _find(stages, source, index) is None:
                images[source] = None
    return Inputs(tuple(images), tuple(remote))


def platform_arguments(build: str, target: str) -> dict[str, str]:
    """Return the arguments that BuildKit sets before the first FROM, for a build on one platform for another."""
    arguments = {}
    for prefix, platform in (("BUILD", build), ("TARGET", target)):
        system, _, rest = platform.partition("/")
        architecture, _, variant = rest.partition("/")
        values = {"PLATFORM": platform, "OS": system, "ARCH": architecture, "VARIANT": variant}
        arguments.update({prefix + name: value for name, value in values.items()})
    return arguments


def _stages(dockerfile: str, known: Mapping[str, str], args: Mapping[str, str]) -> list[Stage]:
    values, escape = dict(known), escape_character(dockerfile)
    stages: list[Stage] = []
    for instruction in instructions(dockerfile):
        if instruction.name == "FROM":
            if match := _FROM.fullmatch(instruction.text):
                stages.append(Stage(match[2], [_expanded(match[1], values, escape)]))
        elif instruction.name == "ARG" and not stages:
            # In a FROM, only arguments that are declared before the first FROM are available.
            for declared in _WORD.findall(instruction.text):
                name, equals, default = declared.partition("=")
                if name in args or equals or name not in values:
                    values[name] = args.get(name, _expanded(default, values, escape))
        elif stages:
            stages[-1].sources += _copied(instruction)
            stages[-1].remote += _remote(instruction)
    return stages


def _copied(instruction: Instruction) -> Iterator[str]:
    """Yield the images and stages that a step reads."""
    for name, value in instruction.flags:
        if instruction.name == "COPY" and name == "from":
            yield value
        elif instruction.name == "RUN" and name == "mount":
            yield from (source for key, source in _options(value) if key == "from")


def _options(mount: str) -> list[tuple[str, str]]:
    """Return the options of a mount. They are written as a line of CSV, and the case of their names does not matter."""
    try:
        fields = next(csv.reader([mount]), [])
    except csv.Error:
        return []
    return [(key.lower(), value) for key, _, value in (field.partition("=") for field in fields)]


def _remote(instruction: Instruction) -> list[str]:
    if instruction.name != "ADD" or any(name == "checksum" for name, _ in instruction.flags):
        return []
    *sources, _ = _paths(instruction.text) or [""]
    return [source for source in sources if _REMOTE.match(source) or "$" in source]


def _paths(text: str) -> list[str]:
    """Return the sources and the destination of a copy, which may be written as a JSON list."""
    with suppress(ValueError, RecursionError):
        paths = json.loads(text)
        if isinstance(paths, list) and all(isinstance(path, str) for path in paths):
            return paths
    return [re.sub(r"""["'\\]""", "", word) for word in text.split()]


def _expanded(word: str, values: Mapping[str, str], escape: str) -> str:
    try:
        return expand(word, values, escape)
    except (BadSubstitution, RecursionError):
        return ""


def _needed(stages: list[Stage], last: int) -> set[int]:
    needed, waiting = set[int](), [last] if stages else []
    while waiting:
        index = waiting.pop()
        if index not in needed:
            needed.add(index)
            found = (_find(stages, source, index) for source in stages[index].sources)
            waiting += [other for other in found if other is not None]
    return needed


def _find(stages: list[Stage], name: str, before: int) -> int | None:
    """Return the last stage with this name or number before the stage `before`."""
    for index in range(before - 1, -1, -1):
        if (stages[index].name or "").lower() == name.lower():
            return index
    return whole_number(name, before - 1) if before else None
