"""Importing structlog without rich, which the daemon does not use."""

from __future__ import annotations

import importlib
import sys


def import_plain_structlog() -> None:
    """Import structlog without what it would use to print tracebacks in color. Call this before other imports of it.

    Otherwise it imports rich with pygments, which take 5 MB of the daemon's memory.
    """
    if "rich" in sys.modules:
        return
    # This is how Python marks a module that cannot be imported.
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]
