"""The error for templates and their parameters."""

from __future__ import annotations

from pipeline.base.errors import ConfigError, Problem


class TemplateError(ConfigError):
    """A template, or a value for its parameters, is invalid.

    `reason` is the message as AWS words it, for the API and for events. `message` adds the position:
    `FILE:line:column: path: reason (hint)`. `line` and `column` count from 1. They are 0 if the mistake has no place in
    the template, such as a missing parameter value.
    """

    def __init__(
        self, reason: str, *, line: int = 0, column: int = 0, path: str = "", hint: str = "", source: str = "template"
    ) -> None:
        super().__init__(source=source, problems=(Problem(line, column, path, reason, hint),))
        self.reason = reason
        self.line = line
        self.column = column
        self.path = path
