"""The providers of resource types, a file for each type. `pipeline/stacks/offered.py` lists them."""
