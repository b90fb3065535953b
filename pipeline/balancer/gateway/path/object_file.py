"""An object file of clang: the programs in it and the shapes of their maps."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pipeline.balancer.gateway.path.bpf import MapShape

_PROGRAM_PREFIX = "tc/"
_MAPS, _SOURCE = "maps", "source"
_CODE, _SYMBOLS, _RELOCATIONS = 1, 2, 9
_OBJECT = 1
_SECTION, _SYMBOL, _RELOCATION = struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IBBHQQ"), struct.Struct("<QQ")
_SHAPE = struct.Struct("<5I")
# In the second byte of an instruction: its value is the descriptor of a map.
_MAP_VALUE = 0x10


class _Section(NamedTuple):
    name: str
    kind: int
    body: bytes
    link: int
    info: int


class ObjectFile:
    """An ELF file for the kernel's machine, little-endian. `source`: the hash of the source that it was built from."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        self._sections = list(self._read_sections())
        self._symbols = list(self._read_symbols())
        self.source = next((each.body.rstrip(b"\0").decode() for each in self._sections if each.name == _SOURCE), "")

    def maps(self) -> Mapping[str, MapShape]:
        """Return the shapes of the maps by name."""
        number, section = next((at, each) for at, each in enumerate(self._sections) if each.name == _MAPS)
        return {
            name: MapShape(*_SHAPE.unpack_from(section.body, offset))
            for name, kind, place, offset in self._symbols
            if place == number and kind == _OBJECT
        }

    def programs(self, maps: Mapping[str, int]) -> Mapping[str, bytes]:
        """Return the instructions of the programs by name, with the descriptors of maps."""
        return {
            section.name.removeprefix(_PROGRAM_PREFIX): self._joined(number, section, maps)
            for number, section in enumerate(self._sections)
            if section.kind == _CODE and section.name.startswith(_PROGRAM_PREFIX)
        }

    def _joined(self, number: int, section: _Section, maps: Mapping[str, int]) -> bytes:
        code = bytearray(section.body)
        for each in self._sections:
            if each.kind == _RELOCATIONS and each.info == number:
                for offset, info in _RELOCATION.iter_unpack(each.body):
                    code[offset + 1] = code[offset + 1] & 0xF | _MAP_VALUE
                    struct.pack_into("<i", code, offset + 4, maps[self._symbols[info >> 32][0]])
        return bytes(code)

    def _read_sections(self) -> Iterator[_Section]:
        (start,) = struct.unpack_from("<Q", self._data, 40)
        size, count, names = struct.unpack_from("<HHH", self._data, 58)
        heads = [_SECTION.unpack_from(self._data, start + number * size) for number in range(count)]
        for name, kind, _, _, offset, length, link, info, _, _ in heads:
            yield _Section(self._text(heads[names][4] + name), kind, self._data[offset : offset + length], link, info)

    def _read_symbols(self) -> Iterator[tuple[str, int, int, int]]:
        """Yield name, kind, number of the section, and offset in it."""
        table = next(each for each in self._sections if each.kind == _SYMBOLS)
        texts = self._sections[table.link].body
        for name, kind, _, section, offset, _ in _SYMBOL.iter_unpack(table.body):
            yield texts[name : texts.index(b"\0", name)].decode(), kind & 0xF, section, offset

    def _text(self, at: int) -> str:
        return self._data[at : self._data.index(b"\0", at)].decode()
