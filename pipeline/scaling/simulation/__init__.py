"""A deterministic simulation of replicas and the controller, on recorded requests."""
