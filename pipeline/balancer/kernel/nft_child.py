"""The program of the child process that runs scripts of nft. A crash or a hang of libnftables ends only this process.

It is started by its path, and imports only the standard library. A request is a script, a response the status and the
output or the errors, each after its length in four bytes. The first response tells whether the library was found.
It ends when its input does, so it never outlives the process that started it.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Callable
from typing import BinaryIO

HEADER = struct.Struct("!iI")
LENGTH = struct.Struct("!I")
_LIBRARY = "libnftables.so.1"
_RESULTS = {
    "nft_ctx_new": (ctypes.c_void_p, (ctypes.c_uint32,)),
    "nft_ctx_buffer_output": (ctypes.c_int, (ctypes.c_void_p,)),
    "nft_ctx_buffer_error": (ctypes.c_int, (ctypes.c_void_p,)),
    "nft_run_cmd_from_buffer": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_char_p)),
    "nft_ctx_get_output_buffer": (ctypes.c_char_p, (ctypes.c_void_p,)),
    "nft_ctx_get_error_buffer": (ctypes.c_char_p, (ctypes.c_void_p,)),
}


def open_library() -> Callable[[bytes], tuple[int, bytes]]:
    """Return a function that runs a script and returns its status, 0 or -1, and its output or errors.

    Raises `OSError` if the library is missing.
    """
    library = ctypes.CDLL(_LIBRARY)
    for name, (result, arguments) in _RESULTS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    context = library.nft_ctx_new(0)
    library.nft_ctx_buffer_output(context)
    library.nft_ctx_buffer_error(context)

    def run(script: bytes) -> tuple[int, bytes]:
        status = library.nft_run_cmd_from_buffer(context, script)
        output, errors = library.nft_ctx_get_output_buffer(context), library.nft_ctx_get_error_buffer(context)
        return status, errors if status else output

    return run


def serve(run: Callable[[bytes], tuple[int, bytes]], requests: BinaryIO, responses: BinaryIO) -> None:
    """Run each script of `requests` until they end."""
    while len(head := requests.read(LENGTH.size)) == LENGTH.size:
        _respond(responses, *run(requests.read(*LENGTH.unpack(head))))


def _respond(responses: BinaryIO, status: int, text: bytes) -> None:
    responses.write(HEADER.pack(status, len(text)) + text)
    responses.flush()


def main() -> None:
    """Serve the process that started this one."""
    try:
        run = open_library()
    except OSError as error:
        _respond(sys.stdout.buffer, -1, str(error).encode())
        return
    _respond(sys.stdout.buffer, 0, b"")
    serve(run, sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
