"""Baselines from the literature: small flow networks, a linear SVM on descriptors and a linear classifier."""
