"""Measurements that the documentation quotes: `python -m bench [NAME …]`, into bench/RESULTS.md."""
