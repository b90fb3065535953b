"""What EC2's network types mean on one machine: declared zones, and networks that are kept in the home."""

from __future__ import annotations
