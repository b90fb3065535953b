"""Validation of ref and object names from outside, before git gets them."""

from __future__ import annotations

import re
from typing import TypeGuard

# In bytes. The limit of most file systems, since an unpacked ref is a file.
_MAX_LENGTH = 255
_REF = re.compile(r"refs/(heads|tags)/(.+)")
_FORBIDDEN = re.compile(r"[ ~^:?*\[\\]|\.\.|@\{")
_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def is_ref(name: object) -> TypeGuard[str]:
    """Return True for the full name of a branch or a tag that git allows.

    Stricter than git: no part starts with a dash, so it cannot be read as an option, and every character is printable.
    """
    if not isinstance(name, str) or not name.isprintable() or len(name.encode()) > _MAX_LENGTH:
        return False
    match = _REF.fullmatch(name)
    if match is None or _FORBIDDEN.search(name) or match[2] in {"HEAD", "@"}:
        return False
    return all(
        part and not part.startswith((".", "-")) and not part.endswith((".", ".lock")) for part in match[2].split("/")
    )


def is_object_name(name: object) -> TypeGuard[str]:
    """Return True for a full SHA-1 or SHA-256 object name in lower case."""
    return isinstance(name, str) and _OBJECT.fullmatch(name) is not None
