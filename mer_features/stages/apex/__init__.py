"""Apex stage: spots the frame in which the expression is strongest."""

from mer_features.stages.apex.spotters import Spotted, process, roi_boxes, spot, spot_all

__all__ = ["Spotted", "process", "roi_boxes", "spot", "spot_all"]
