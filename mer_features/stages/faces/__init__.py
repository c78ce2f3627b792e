"""Face stage: detects the face, measures the head motion, and crops the face from every frame.

The face and its landmarks are located once, on the onset frame, and define the position of the crop. Every other frame
is registered to the onset frame by a rigid motion and resampled in one step, so that the remaining differences between
two crops are those of the expression.
"""

from mer_features.stages.faces.clip import FaceClip, crop_clip, process
from mer_features.stages.faces.detection import Detections, detect

__all__ = ["Detections", "FaceClip", "crop_clip", "detect", "process"]
