"""Keys and values of sequences between steps: pages within a budget of bytes, exact or compressed.

`pool.CachePool` is what the generator uses; `drift` measures what compression changes. Every number of bytes is that of
allocated tensors.
"""
