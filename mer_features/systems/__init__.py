"""Recognition systems, one folder per paper. Importing this package does not import torch."""
