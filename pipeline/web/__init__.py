"""The web interface: pages for people, made from what the control API gives."""
