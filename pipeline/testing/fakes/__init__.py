"""Fakes for tests. Each keeps the contract of its interface and fails on demand."""

from __future__ import annotations
