"""The feature stages.

A stage computes one kind of feature. It handles one clip at a time, takes the clip, the results of earlier stages and
its section of the configuration, and writes one group per clip to its stage file. The stages, in the order in which
they run:

``faces``
    Detection and landmarks on the onset frame, registration of the head motion, and face crops of all frames.
``apex``
    Apex spotting: the frame in which the expression is strongest.
``magnify``
    Motion magnification of the apex relative to the onset.
``flow``
    Optical flow and optical strain between key frames.
``style``
    Style aggregation of the onset and apex crops.
``descriptors``
    Handcrafted descriptors of a clip.

``signals`` is not a stage of clips: it measures whole recordings, the input of spotting
(:mod:`mer_features.stages.signals`).

:mod:`mer_features.stages.options` holds the configuration sections, :mod:`mer_features.stages.run` runs a stage over
many clips, and :mod:`mer_features.stages.store` reads and writes stage files.
"""
