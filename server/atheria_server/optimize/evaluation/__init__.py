"""What a model costs and whether it may be served: measurements of a variant against its baseline, and prices."""
