"""Response models of the control API and of `--json`, separate from the rows of the database."""
