"""CPU time, memory, threads and descriptors of a process."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path


def cpu(pid: int) -> float:
    """Return the CPU time so far in seconds, exited threads included."""
    # The clock of a process by its id, as `clock_getcpuclockid` of the C library makes it.
    return time.clock_gettime(~pid << 3 | 2)


def cpu_with_children(pid: int) -> float:
    """Return the CPU time so far in seconds, of the process and of its children that have exited."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return cpu(pid) + sum(map(int, fields[13:15])) / os.sysconf("SC_CLK_TCK")


def pss(pid: int) -> float:
    """Return the memory in MB, with a share of the pages that other processes use too."""
    return _megabytes(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss")


def rss(pid: int) -> float:
    """Return the resident memory in MB."""
    return _megabytes(Path(f"/proc/{pid}/status").read_text(), "VmRSS")


def threads(pid: int) -> int:
    """Return the number of threads."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def descriptors(pid: int) -> int:
    """Return the number of open file descriptors."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def share(pid: int, seconds: float) -> float:
    """Measure for some seconds, and return the CPU time in percent of one core, children included."""
    before, started = cpu_with_children(pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_with_children(pid) - before) / (time.monotonic() - started) * 100


def _megabytes(text: str, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None, f"no {name}"
    return int(found[1]) * 1024 / 1e6
