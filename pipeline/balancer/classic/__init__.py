"""Classic load balancers: their description, and its translation into a declaration."""

from __future__ import annotations
