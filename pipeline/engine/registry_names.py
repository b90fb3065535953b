"""The names of an image in registries, with its digest there. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

# A registry of the machine that uses the name.
_LOOPBACK = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?/")


def name_with_digest(name: str, digest: str) -> str:
    """Return the name under which a registry has an image that was pushed to `name`, such as `example.com/shop:1`."""
    folder, slash, last = name.partition("@")[0].rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}@{digest}"


def usable_elsewhere(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names, each once, without those of registries on loopback, which other machines do not reach."""
    return tuple(name for name in dict.fromkeys(names) if not _LOOPBACK.match(name))


def service_reference(image: str, names: Iterable[str]) -> str:
    """Return the name by which a cluster's service must name an image, given its id.

    If no registry has it, that is the id, and every node must have the image.
    """
    return next(iter(usable_elsewhere(names)), image)
