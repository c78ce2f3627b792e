"""Motion of face regions over a whole recording, the input of every spotter."""

from mer_features.stages.signals.recording import measure
from mer_features.stages.signals.regions import EXPRESSION, LIDS, MIRROR, MOUTH, REGIONS, centres
from mer_features.stages.signals.series import MemorySink, Signals, Sink

__all__ = ["EXPRESSION", "LIDS", "MIRROR", "MOUTH", "REGIONS", "MemorySink", "Signals", "Sink", "centres", "measure"]
