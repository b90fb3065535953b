"""Certificates that authorities issue by the ACME protocol (RFC 8555): requested, proved, kept and renewed."""

from __future__ import annotations
