"""Training of a law with weights to imitate `kerr`: `atheria-server train`, `python -m atheria_server.models.qca.train`.

Made the weights that ship with the package. The network learns the angles only through the states they lead to: one
step for the first half of the training, then four. Everything that makes it faster or smaller is an option of its own;
`ablation` measures them against each other.
"""
