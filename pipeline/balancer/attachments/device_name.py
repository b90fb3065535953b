"""Names of the devices of attachments, apart from the models, which agents do not load."""

INNER = "gwlbe-"
"""What the names of the devices begin with that lead from networks into endpoints."""
