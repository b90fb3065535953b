"""The Source stage: a branch, a tag or a commit becomes a revision with its files."""

from __future__ import annotations

from stages.source.stage import GitSource

__all__ = ["GitSource"]
