"""This machine, as the APIs of AWS see it."""
