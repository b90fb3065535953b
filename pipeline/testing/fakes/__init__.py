"""Fakes for tests. Each keeps the contract of what it stands for, and fails when a test says so."""

from __future__ import annotations
