"""Handcrafted descriptors of a clip."""
