"""Recognition systems: one file per paper. Importing this package does not import torch."""
