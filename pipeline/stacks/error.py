"""Errors of commands to stacks."""

from __future__ import annotations

from pipeline.base.errors import ConfigError


class StackError(ConfigError):
    """A command to a stack is not possible. Nothing was changed.

    `message` is that of CloudFormation, and `code` its code on the wire. `status` is the HTTP status.
    """

    def __init__(
        self, message: str, *, code: str = "ValidationError", status: int = 400, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.status = status
