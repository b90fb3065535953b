"""A program that installs a hook twice, for two homes, and writes a byte to `acknowledged` after each."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.base.home import Home
from pipeline.triggers.hook import GitHooks

root = Path(sys.argv[1])
hooks = GitHooks(root, root, bare=True)
with (root / "acknowledged").open("wb", buffering=0) as acknowledged:
    for name in ("one", "two"):
        hooks.install("post-commit", Home(root / name))
        acknowledged.write(b".")
