"""A `torch.nn.Module` of one's own and its weights as a described model, declared by a small `atheria.json`."""
