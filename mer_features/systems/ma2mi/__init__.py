"""MA2MI (paper 003): an action and a position encoder, pre-trained on the future frames of macro video."""
