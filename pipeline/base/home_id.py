"""The id of a home, kept in the home, so that its containers are found again after the home was moved."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.files import write_atomically

FILE = "id.json"


@dataclass(frozen=True)
class _Written:
    """The content of the file: the id, and the place of the home when it was written."""

    id: str
    place: Path


def home_id(root: Path) -> str:
    """Return the id of the home at `root`, and keep it there.

    A home that was moved keeps its id. A copy gets a new id, because the original still has its containers.
    Where the file is missing or damaged, or the home cannot be written, the id follows from the place.
    """
    place = root.resolve()
    written = _read(root)
    if written is not None and written.place == place:
        return written.id
    is_copy = written is not None and (original := _read(written.place)) is not None and original.id == written.id
    found = written.id if written is not None and not is_copy else _id_of(place)
    with suppress(OSError):
        write_atomically(root / FILE, json.dumps({"id": found, "place": str(place)}))
    return found


def _read(root: Path) -> _Written | None:
    try:
        data = json.loads((root / FILE).read_text())
        return _Written(str(data["id"]), Path(data["place"])) if _is_id(data["id"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_id(text: object) -> bool:
    return isinstance(text, str) and len(text) == 12 and set(text) <= set("0123456789abcdef")


def _id_of(place: Path) -> str:
    # Imported here: it loads OpenSSL, and a home has its id already.
    import hashlib

    return hashlib.sha256(str(place).encode()).hexdigest()[:12]
