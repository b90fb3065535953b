"""Shared by the tests: helpers that more than one folder of tests uses."""

from __future__ import annotations
