"""`torch.export` programs (.pt2) as described models, read as data: nothing in such a file is executed."""
