"""The lowest layer. Every other package may import it, and it imports none of them."""

from __future__ import annotations
