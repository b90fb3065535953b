"""Container engines and runtimes. The interfaces and values are neutral; `docker/` implements them."""

from __future__ import annotations
