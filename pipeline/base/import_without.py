"""Importing a library without packages that it uses only if they are installed."""

from __future__ import annotations

import importlib
import sys
import warnings


def import_without(library: str, *packages: str) -> None:
    """Import a library as if these packages were not installed. They can be imported afterwards.

    Packages that are loaded already stay in use. Call this before other imports of the library, and before the first
    thread starts.
    """
    hidden = [package for package in packages if package not in sys.modules]
    # This is how Python marks a module that cannot be imported.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        with warnings.catch_warnings():
            # Some libraries warn that a package is missing.
            warnings.simplefilter("ignore")
            importlib.import_module(library)
    finally:
        for package in hidden:
            del sys.modules[package]
