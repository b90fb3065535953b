"""Accessories: databases, caches and the like beside the services, with their backups."""

from __future__ import annotations
