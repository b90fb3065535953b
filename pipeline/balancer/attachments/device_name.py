"""Names of the devices of attachments, apart from the models, which agents do not load."""

from __future__ import annotations

INNER = "gwlbe-"
"""What the names of the devices begin with that lead from networks into endpoints."""
