"""Seconds and memory of attention kernels, and bytes and drift of compressed caches; `python -m bench.attention`."""
