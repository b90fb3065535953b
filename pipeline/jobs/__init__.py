"""Scheduled jobs: what is due, and each run from its container's start to its recorded end."""
