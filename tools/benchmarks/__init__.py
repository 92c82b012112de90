"""The overview of the benchmarks, made from the figures on their pages."""
