"""Rates, metrics and log lines made from the neutral records of the access log."""

from __future__ import annotations
