"""The pipeline's name in pipeline.yaml, found without parsing the file, which may be invalid YAML."""

from __future__ import annotations

import re

# In a mapping, each line without an indent begins with one of its keys.
_NAME_LINE = re.compile(rb"^name:[ \t]+([A-Za-z0-9-]+)[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_NAME_KEY = re.compile(rb"^[\"']?name[\"']?[ \t]*:", re.MULTILINE)


def name_in_lines(content: bytes) -> str | None:
    """Return the name if one line certainly has it, or None if that takes more than a look at the lines."""
    found = _NAME_LINE.findall(content)
    return found[0].decode() if len(found) == 1 == len(_NAME_KEY.findall(content)) else None
