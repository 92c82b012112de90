"""The built-in demo model `builtin://qca`: a nonlinear quantum walk on a torus with an analytic or a neural coin.

It is one-particle, mean-field physics ("QCA" in the sense of a unitary, local, translation-invariant step), not a
many-body simulation. Importing this package, `settings`, `signature` or `validate` does not import torch, so the
front process may use them; everything else here is for the worker.
"""
