"""The timeline of a run, made from its events. Everything in this package is pure."""
