"""How fast the model server is beside other servers of the same work: `python -m bench.serving`, see docs/benchmarks/serving.md."""
