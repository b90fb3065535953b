"""Attachments: the devices, routes and router namespaces that lead the packets of networks into endpoints."""
