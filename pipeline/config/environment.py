"""Environment variables in pipeline.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Environment = dict[VariableName, str]
