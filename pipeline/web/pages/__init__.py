"""The pages of the web interface, a file each. A module here is found by its names `PAGES` and `ACTIONS`."""
