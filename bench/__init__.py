"""Measurements that the documentation quotes: `python -m bench [NAME …]`, which writes bench/RESULTS.md."""
