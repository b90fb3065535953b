"""Auto scaling: the number of replicas that follows the load, and a simulator that tries a policy on an access log."""
