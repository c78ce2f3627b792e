"""Baselines from the literature: networks on flow and faces, a linear SVM on descriptors and a linear classifier."""
