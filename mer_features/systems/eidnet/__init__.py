"""EIDNet (paper 000): expression-identity disentanglement and adversarial tuning against macro-expressions."""
