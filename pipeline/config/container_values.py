"""Values of containers within the limits of Docker and Linux. A mistake is reported before the build."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.base.quantity import Size

_MIN_MEMORY = 6 * 2**20
# Linux has no larger process id.
MAX_PIDS = 2**22
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?"
_VERSION = r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[A-Za-z0-9.+_-]+:[0-9A-Fa-f]{32,})?"
_IMAGE = re.compile(rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*{_VERSION}")


def plain(value: str) -> str:
    """Return a text. Raises `ValueError` if no program can get it as an argument or a variable."""
    if "\0" in value:
        raise ValueError("must not contain a null character, which ends a text in Linux")
    return value


def _memory(value: int) -> int:
    if 0 < value < _MIN_MEMORY:
        raise ValueError(f"must be at least 6MiB, or 0 for no limit, got {value} bytes")
    return value


def is_image_name(value: str) -> bool:
    """Return whether a text is the name of an image, with or without tag and digest."""
    return _IMAGE.fullmatch(value) is not None


def repository_of(name: str) -> str:
    """Return the name of an image without its tag and its digest."""
    folder, slash, last = name.partition("@")[0].rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"


def _image(value: str) -> str:
    if not is_image_name(value):
        raise ValueError(f"{value!r} is not a valid name of an image; write postgres:16 or registry.example.com/db:2")
    return value


PlainText = Annotated[str, AfterValidator(plain)]
Memory = Annotated[Size, AfterValidator(_memory)]
# The engine counts billionths of a core in 64 bits.
Cpus = Annotated[float, Field(ge=0.01, le=100_000, allow_inf_nan=False)]
ImageName = Annotated[str, Field(min_length=1), AfterValidator(_image)]
