"""The user of the shell, whom events name as the one who acts."""

from __future__ import annotations

import os

from pipeline.base.printable import escape_line

# In characters, the most that the control API accepts.
_MAX_LENGTH = 200


def current_user() -> str:
    """Return the name of the user who runs the command, or the number of a user who has no name."""
    # Imported here, because a command that only reads has no use for it.
    import getpass

    try:
        found = getpass.getuser()
    except (KeyError, OSError):
        # A container may run with a number that /etc/passwd does not have.
        return f"uid {os.getuid()}"
    return escape_line(found)[:_MAX_LENGTH]
