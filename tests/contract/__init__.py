"""Contracts: one suite for each interface, run against its fake and against what it stands for."""

from __future__ import annotations
