"""Readers of triggers: hooks, webhooks, schedules, and skip marks in commit messages."""

from __future__ import annotations
