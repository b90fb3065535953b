"""HTTP interfaces of the daemon (control API, webhooks, badges) and the client of the API."""

from __future__ import annotations
