"""Memory that a process gives back."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
from pathlib import Path
from pipeline.base.memory import release_memory

def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4

pieces = [bytes(2000) for _ in range(20_000)]
last = pieces[-1]
full = resident()
pieces.clear()
kept = resident()
release_memory()
print(full, kept, resident())
"""


def test_freed_memory_goes_back_to_the_kernel() -> None:
    """40 MB are freed below a piece that is still used, so glibc alone keeps them."""
    output = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True).stdout
    full, kept, released = map(int, output.split())
    assert full - kept < 5_000
    assert kept - released > 30_000
