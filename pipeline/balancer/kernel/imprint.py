"""The last change that Penstock made to a table, kept in a file for its other processes."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/thread-self/ns/net")
# Longer than any content, so that nothing of a previous one is left behind it.
_LENGTH = 256


@dataclass(frozen=True)
class Imprint:
    """The generation of the rules that a change made, and the digest of the content that the table has since then.

    `scope` is where generations are counted: one boot of the kernel and one network namespace.
    """

    scope: str
    generation: int
    digest: str


def scope() -> str:
    """Return the scope of the calling thread."""
    return f"{_BOOT_ID.read_text().strip()} {_NAMESPACE.readlink()}"


def read(path: Path) -> Imprint | None:
    """Read the file. Return None if it is missing, damaged, or of another scope."""
    found = _parsed(path)
    return found if found and found.scope == scope() else None


def is_of_other_scope(path: Path) -> bool:
    """Return whether the file is of another scope than the calling thread's. False if it is missing or damaged."""
    found = _parsed(path)
    return found is not None and found.scope != scope()


def _parsed(path: Path) -> Imprint | None:
    try:
        return Imprint(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write(path: Path, imprint: Imprint) -> None:
    """Write the file. If it cannot be written, other processes take the table for changed, and replace it.

    It need not survive a power cut, because the table does not. It is overwritten in place, which takes 0.1 ms. A file
    that is replaced is first written to the disk by ext4.
    """
    with suppress(OSError), os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(json.dumps(asdict(imprint)).ljust(_LENGTH))
