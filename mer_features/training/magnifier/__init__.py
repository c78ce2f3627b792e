"""Training of the learned magnifier: random samples with ground truth, and the training loop."""
