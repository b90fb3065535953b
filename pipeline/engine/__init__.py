"""The Docker Engine: the only package that knows its SDK."""
