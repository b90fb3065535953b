"""A load generator that sends each request when it is due, and reports every loss."""

from __future__ import annotations
