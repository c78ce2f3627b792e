"""Face stage: where the face is, how the head moves, and crops of every frame on a fixed grid of the face.

On the onset frame the face is detected and its landmarks found, once; the crop is laid out there. Every other frame
is registered to the onset frame as a rigid whole and resampled in one step, so that what is left between two crops
is the expression.
"""

from mer_features.stages.faces.clip import FaceClip, crop_clip, process
from mer_features.stages.faces.detection import Detections, detect

__all__ = ["Detections", "FaceClip", "crop_clip", "detect", "process"]
