"""Webhook requests, valid and invalid."""

from __future__ import annotations
