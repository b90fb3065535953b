"""Tests of the runtime of a Swarm."""
