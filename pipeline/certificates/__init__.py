"""Certificates that AWS clients import or request, kept in the home, and ACM's API over them."""

from __future__ import annotations
