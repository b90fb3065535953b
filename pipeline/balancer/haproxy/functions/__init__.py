"""The adapter between HAProxy and functions: requests become ELB events, results become responses."""

from __future__ import annotations
