"""Crops of a whole clip, and the stage of the pipeline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mer_features import config
from mer_features.clips import Clip, KeyFrames, key_frames
from mer_features.faces import align, detect
from mer_features.faces import landmarks as lm
from mer_features.faces.layout import Layout, lay_out
from mer_features.faces.register import Registrar
from mer_features.faces.warp import warp
from mer_features.frames import Frame, FrameBuffer, open_frames
from mer_features.quality import ClipRejectedError, Issue
from mer_features.shards import ClipRecord, ClipView
