"""When certificates of model pods are made and renewed, and what is stored of them."""
