"""Machines made of namespaces, each with an engine and an SSH server, and a network that joins them."""
