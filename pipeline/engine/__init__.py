"""Container engines: neutral values and labels here, Docker in `docker/`."""

from __future__ import annotations
