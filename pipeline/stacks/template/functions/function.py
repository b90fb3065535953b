"""What the functions share."""

from __future__ import annotations

from pipeline.stacks.template.compiler import Compiler
from pipeline.stacks.template.values import JSON, Path


def listed(compiler: Compiler, argument: JSON, path: Path, counts: range, reason: str) -> tuple[JSON, ...]:
    """Return the items of an argument that has to be a list with so many of them."""
    if not isinstance(argument, list) or len(argument) not in counts:
        raise compiler.error(reason, path)
    return tuple(argument)
