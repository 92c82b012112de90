"""Measures a network that several processes compute together beside one that has it whole. `python -m bench.tensor_parallel`."""
