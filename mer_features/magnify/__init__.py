"""Motion magnification of a pair of frames."""
