"""Assessment: errors of the stages, of magnification and of style aggregation, measured against ground truth."""
