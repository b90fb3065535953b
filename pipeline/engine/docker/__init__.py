"""The Docker Engine. The only package that imports the docker SDK."""

from __future__ import annotations
