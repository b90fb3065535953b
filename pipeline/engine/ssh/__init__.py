"""Tunnels by SSH to the engines of other machines."""

from __future__ import annotations
