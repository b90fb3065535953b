"""The resident process, and what reaches it over HTTP."""
