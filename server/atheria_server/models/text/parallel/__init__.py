"""One network over several processes, each with a device of its own: tensor parallelism (docs/adr/0015).

`split` gives a process its part of each layer; `lead` has the first process's generator drive the others', and `follow` is
all that those do. No runtime starts it yet: `python -m bench.tensor_parallel` and the tests do.
"""
