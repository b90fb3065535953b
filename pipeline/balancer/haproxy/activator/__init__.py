"""The activator: it holds requests for target groups that are scaled to zero until they have a target again."""

from __future__ import annotations
