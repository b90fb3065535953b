"""The system call bpf(2): maps and programs of the kernel, by descriptor."""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# The number of the system call, by machine.
_CALLS = {"x86_64": 321, "aarch64": 280}
_MAP_CREATE, _LOOKUP, _UPDATE, _DELETE, _NEXT_KEY, _PROG_LOAD = range(6)
_PROG_BY_ID, _MAP_BY_ID, _INFO, _LOOKUP_BATCH, _UPDATE_BATCH = 13, 14, 15, 24, 26
_ARRAY, _PER_CPU_HASH = 2, 5
_TRAFFIC_CONTROL = 3
_MISSING, _EXISTING = 1, 2
_NAME = 16
_LOG_SIZE, _LOG_SHOWN = 1 << 20, 2000
_BATCH = 4096
_KEY_VALUE = struct.Struct("=IxxxxQQQ")
_MANY = struct.Struct("=QQQQIIQQ")
_MAP_INFO, _PROG_INFO = struct.Struct("=IIIIII16s"), struct.Struct("=52xIQ")
_INFO_SIZE, _MOST_MAPS = 256, 64

_libc = ctypes.CDLL(None, use_errno=True)


class MapShape(NamedTuple):
    """The shape of a map. `key` and `value` are sizes in bytes, the value of a per-CPU map for one processor."""

    kind: int
    key: int
    value: int
    entries: int
    flags: int


class Map:
    """A map of the kernel. Its methods raise `OSError`. It lives as long as a program or a descriptor refers to it."""

    def __init__(self, descriptor: int, shape: MapShape) -> None:
        self.descriptor = descriptor
        self.shape = shape
        self._copies = _processors() if shape.kind == _PER_CPU_HASH else 1

    @property
    def is_array(self) -> bool:
        """Whether it has all its keys, from 0 on, at any time."""
        return self.shape.kind == _ARRAY

    @classmethod
    def create(cls, name: str, shape: MapShape) -> Map:
        """Make an empty map."""
        # Kernels before 5.11 count maps as locked memory.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return cls(_bpf(_MAP_CREATE, struct.pack("=7I16s", *shape, 0, 0, _name(name))), shape)

    @classmethod
    def of(cls, number: int) -> tuple[str, Map]:
        """Return a map of the kernel, with its name. Needs CAP_SYS_ADMIN."""
        descriptor = _bpf(_MAP_BY_ID, struct.pack("=III", number, 0, 0))
        kind, _, key, value, entries, flags, name = _MAP_INFO.unpack_from(_info(descriptor))
        return name.rstrip(b"\0").decode(), cls(descriptor, MapShape(kind, key, value, entries, flags))

    def get(self, key: bytes) -> bytes | None:
        """Return a value, or None. Of a per-CPU map: those of all processors, one after the other."""
        value = ctypes.create_string_buffer(self._value_size)
        try:
            self._act(_LOOKUP, key, value)
        except FileNotFoundError:
            return None
        return value.raw

    def put(self, key: bytes, value: bytes) -> None:
        """Set a value."""
        self._act(_UPDATE, key, ctypes.create_string_buffer(value, len(value)))

    def add(self, key: bytes, value: bytes) -> None:
        """Set the value of a key, unless the map has it."""
        with suppress(FileExistsError):
            self._act(_UPDATE, key, ctypes.create_string_buffer(value, len(value)), _MISSING)

    def replace(self, key: bytes, value: bytes) -> None:
        """Set the value of a key, if the map has it."""
        with suppress(FileNotFoundError):
            self._act(_UPDATE, key, ctypes.create_string_buffer(value, len(value)), _EXISTING)

    def remove(self, key: bytes) -> bool:
        """Remove a key. False if the map had it not."""
        try:
            self._act(_DELETE, key, None)
        except FileNotFoundError:
            return False
        return True

    def keys(self) -> list[bytes]:
        """Return the keys."""
        found, last = list[bytes](), None
        following = ctypes.create_string_buffer(self.shape.key)
        while True:
            try:
                self._act(_NEXT_KEY, last, following)
            except FileNotFoundError:
                return found
            last = following.raw
            found.append(last)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values. One that disappears meanwhile is left out."""
        for key in self.keys():
            if (value := self.get(key)) is not None:
                yield key, value

    def values(self) -> list[bytes]:
        """Return the values."""
        return [value for _, value in self.items()]  # noqa: PERF102

    def put_row(self, first: int, values: list[bytes]) -> None:
        """Set values of an array, from a number on."""
        keys, data = struct.pack(f"={len(values)}I", *range(first, first + len(values))), b"".join(values)
        buffers = ctypes.create_string_buffer(keys, len(keys)), ctypes.create_string_buffer(data, len(data))
        places = [ctypes.addressof(buffer) for buffer in buffers]
        if values:
            _bpf(_UPDATE_BATCH, _MANY.pack(0, 0, *places, len(values), self.descriptor, 0, 0))

    def batches(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values of a large hash table or array. May miss or repeat one that comes or goes meanwhile."""
        size_key, size_value, count = self.shape.key, self.shape.value, _BATCH
        keys, values = (ctypes.create_string_buffer(size * count) for size in (size_key, size_value))
        cursor, start = ctypes.create_string_buffer(8), 0
        ended = False
        while not ended:
            request = _MANY.pack(
                start, ctypes.addressof(cursor), ctypes.addressof(keys), ctypes.addressof(values), count,
                self.descriptor, 0, 0,
            )  # fmt: skip
            attributes = ctypes.create_string_buffer(request, 128)
            try:
                _call(_LOOKUP_BATCH, attributes)
            except FileNotFoundError:
                ended = True
            found = _MANY.unpack_from(attributes.raw)[4]
            start = ctypes.addressof(cursor)
            rows_of_keys, rows_of_values = keys.raw, values.raw
            for row in range(found):
                at_key, at_value = row * size_key, row * size_value
                yield rows_of_keys[at_key : at_key + size_key], rows_of_values[at_value : at_value + size_value]

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)

    @property
    def _value_size(self) -> int:
        # Values of processors begin at multiples of 8.
        return self.shape.value if self._copies == 1 else (self.shape.value + 7) // 8 * 8 * self._copies

    def _act(self, action: int, key: bytes | None, value: ctypes.Array[ctypes.c_char] | None, flags: int = 0) -> None:
        buffer = None if key is None else ctypes.create_string_buffer(key, len(key))
        places = [0 if each is None else ctypes.addressof(each) for each in (buffer, value)]
        _bpf(action, _KEY_VALUE.pack(self.descriptor, *places, flags))


def load_program(name: str, instructions: bytes) -> int:
    """Load a program of traffic control and return its descriptor. Raises `OSError` with the verifier's last words."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    license_, log = ctypes.create_string_buffer(b"GPL"), ctypes.create_string_buffer(_LOG_SIZE)
    head = struct.pack(
        "=IIQQ", _TRAFFIC_CONTROL, len(instructions) // 8, ctypes.addressof(code), ctypes.addressof(license_)
    )
    try:
        return _bpf(_PROG_LOAD, head + struct.pack("=IIQII16s", 0, 0, 0, 0, 0, _name(name)))
    except PermissionError:
        # The caller lacks the right, or the verifier refuses the program: then it says why.
        pass
    except OSError as error:
        raise OSError(error.errno, f"{name}: {error.strerror}") from None
    try:
        with_log = struct.pack("=IIQII16s", 1, _LOG_SIZE, ctypes.addressof(log), 0, 0, _name(name))
        return _bpf(_PROG_LOAD, head + with_log)
    except OSError as error:
        said = log.value.decode(errors="replace")[-_LOG_SHOWN:]
        raise OSError(error.errno, f"{name}: {error.strerror} {said}".rstrip()) from None


def maps_of(program: int) -> list[int]:
    """Return the numbers of the maps of a program, by its number. Needs CAP_SYS_ADMIN."""
    descriptor = _bpf(_PROG_BY_ID, struct.pack("=III", program, 0, 0))
    try:
        numbers = (ctypes.c_uint32 * _MOST_MAPS)()
        told = _info(descriptor, _PROG_INFO.pack(_MOST_MAPS, ctypes.addressof(numbers)))
        return list(numbers[: _PROG_INFO.unpack_from(told)[0]])
    finally:
        os.close(descriptor)


def _info(descriptor: int, asked: bytes = b"") -> bytes:
    buffer = ctypes.create_string_buffer(asked, _INFO_SIZE)
    _bpf(_INFO, struct.pack("=IIQ", descriptor, _INFO_SIZE, ctypes.addressof(buffer)))
    return buffer.raw


def _name(text: str) -> bytes:
    return text.encode()[: _NAME - 1]


def _bpf(command: int, attributes: bytes) -> int:
    return _call(command, ctypes.create_string_buffer(attributes, 128))


def _call(command: int, attributes: ctypes.Array[ctypes.c_char]) -> int:
    # An unknown number is refused as a call that the kernel does not have.
    result = _libc.syscall(_CALLS.get(os.uname().machine, -1), command, attributes, len(attributes))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)


def _processors() -> int:
    """Return how many processors the machine may have. Maps have room for each."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().split(",")[-1]
    return int(last.split("-")[-1]) + 1
