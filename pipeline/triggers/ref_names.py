"""Names of refs and objects that come from outside: which of them may be handed to git."""

from __future__ import annotations

import re
from typing import TypeGuard

# Most file systems bear no longer name, and a ref is a file as soon as it is not packed.
_LONGEST = 255
_REF = re.compile(r"refs/(heads|tags)/(.+)")
_FORBIDDEN = re.compile(r"[ ~^:?*\[\\]|\.\.|@\{")
_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def is_ref(name: object) -> TypeGuard[str]:
    """Whether this is the full name of a branch or a tag that git allows, and that is what it looks like.

    Stricter than git: no part begins with a dash, so that none is taken for an option, and no character is one that
    cannot be seen.
    """
    if not isinstance(name, str) or not name.isprintable() or len(name.encode()) > _LONGEST:
        return False
    match = _REF.fullmatch(name)
    if match is None or _FORBIDDEN.search(name) or match[2] in {"HEAD", "@"}:
        return False
    return all(
        part and not part.startswith((".", "-")) and not part.endswith((".", ".lock")) for part in match[2].split("/")
    )


def is_object_name(name: object) -> TypeGuard[str]:
    """Whether this is a whole object name, of SHA-1 or SHA-256, as git writes it."""
    return isinstance(name, str) and _OBJECT.fullmatch(name) is not None
