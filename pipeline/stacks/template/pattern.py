"""The regular expression of a parameter."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated

from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError

from pipeline.balancer.backtracking import safe_length
from pipeline.stacks.template.document import Document
from pipeline.stacks.template.values import Path


class Pattern:
    """An AllowedPattern, which the whole value has to match.

    Evaluation takes time in proportion to the length of the value, by pydantic's engine. That engine has no look-around
    and no back-references. With these, Python's engine is used for values that are short enough for it.
    """

    def __init__(self, document: Document, text: str, path: Path) -> None:
        """Raise `TemplateError` if `text` is not a regular expression."""
        self._text = text
        # Java takes the hyphen after a class for itself. The other engines want it escaped.
        self._standard = re.sub(r"(?<!\\)(\\[dswDSW])-(?!\])", r"\1\-", text)
        if self._linear is None:
            try:
                re.compile(self._whole)
            except (re.error, OverflowError, RecursionError) as error:
                reason = f"Template format error: AllowedPattern is not a valid regular expression: {error}"
                raise document.error(reason, path) from None

    def problem(self, value: str) -> str | None:
        """Return what is wrong with a value, or None."""
        if self._linear is not None:
            try:
                self._linear.validate_python(value)
            except ValidationError:
                return f"must match pattern {self._text}"
            return None
        limit = safe_length(self._whole)
        if limit is not None and len(value) > limit:
            return f"must contain at most {limit} characters, since its AllowedPattern may take too long"
        return None if re.fullmatch(self._whole, value) else f"must match pattern {self._text}"

    @cached_property
    def _linear(self) -> TypeAdapter[str] | None:
        try:
            return TypeAdapter(Annotated[str, StringConstraints(pattern=rf"\A(?:{self._standard})\z")])
        except SchemaError:
            return None

    @property
    def _whole(self) -> str:
        """The expression in Python's syntax. Java writes named groups without a P."""
        return re.sub(r"\(\?<(?=[A-Za-z])", "(?P<", self._standard)
