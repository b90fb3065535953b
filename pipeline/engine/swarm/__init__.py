"""Replicas on a Docker Swarm: one service of the Swarm for each. Knows no SDK."""
