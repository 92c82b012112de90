"""`atheria demo`: the product's main job in front of a person's eyes, on a real cluster."""
