"""Fitting of style aggregation, per run or per fold, and training of the style generators."""
