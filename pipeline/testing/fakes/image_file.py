"""The archive of a fake image, in the form of Docker's."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_CHUNK = 100


def write_image_file(configuration: Mapping[str, Any], layers: Sequence[bytes | None]) -> Iterator[bytes]:
    """Yield an archive of these layers in small chunks. As Docker's, it ends with the list of its layers.

    A layer that is None has no file.
    """
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": "image.json", "Layers": names}]
    files = {name: layer for name, layer in zip(names, layers, strict=True) if layer is not None}
    files |= {"image.json": json.dumps(configuration).encode(), "manifest.json": json.dumps(manifest).encode()}
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    data = content.getvalue()
    for start in range(0, len(data), _CHUNK):
        yield data[start : start + _CHUNK]


def read_image_file(archive: Iterator[bytes]) -> tuple[dict[str, Any], list[bytes | None]]:
    """Return what `write_image_file` was given. A layer without its file is None. Raises `tarfile.TarError`."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(archive))) as tar:
        files = {member.name: tar.extractfile(member) for member in tar}
        found = {name: file.read() for name, file in files.items() if file is not None}
    (described,) = json.loads(found["manifest.json"])
    return json.loads(found[described["Config"]]), [found.get(name) for name in described["Layers"]]
