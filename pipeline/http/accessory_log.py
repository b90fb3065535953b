"""The output of an accessory's container, for commands and the control API."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline.engine.console import STAMP_LENGTH, Console
from pipeline.engine.container import Container
from pipeline.engine.labels import LABEL_ACCESSORY
from pipeline.http.responses.log import AccessoryLogLineResponse


class AccessoryLog:
    """Reads the output of an accessory, line by line, with secrets masked. One thread uses it."""

    def __init__(self, console: Console, container: Container, *, follow: bool, tail: int | None = None) -> None:
        self._container = container
        self._stream = console.log(container.id, follow=follow, tail=tail)

    @property
    def is_kept(self) -> bool:
        """Whether the engine keeps the output at all."""
        return self._stream is not None

    def poll(self, mask: Callable[[str], str] = str) -> list[AccessoryLogLineResponse] | None:
        """Return the lines that have arrived, without waiting. None after the end."""
        arrived = self._stream.arrived() if self._stream else None
        return None if arrived is None else [self._shown(line, mask) for line in arrived]

    def all(self, mask: Callable[[str], str] = str) -> Iterator[AccessoryLogLineResponse]:
        """Yield every line until the end."""
        for line in self._stream.all() if self._stream else ():
            yield self._shown(line, mask)

    def close(self) -> None:
        """Close the connection. Safe to repeat."""
        if self._stream:
            self._stream.close()

    def _shown(self, line: bytes, mask: Callable[[str], str]) -> AccessoryLogLineResponse:
        return AccessoryLogLineResponse(
            at=line[:STAMP_LENGTH].decode(errors="replace"),
            accessory=self._container.labels.get(LABEL_ACCESSORY, ""),
            container=self._container.name,
            text=mask(line[STAMP_LENGTH + 1 :].decode(errors="replace")),
        )
