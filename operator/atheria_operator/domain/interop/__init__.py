"""Other autoscalers decide: what they are told, and the objects by which they find a model."""
