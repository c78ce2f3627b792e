"""Flow stage: computes optical flow and optical strain between key frames of a clip."""

from mer_features.stages.flow.methods import NotAlignedError, estimate, estimate_batch, magnified_by, process

__all__ = ["NotAlignedError", "estimate", "estimate_batch", "magnified_by", "process"]
