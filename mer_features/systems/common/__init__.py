"""Code that several systems share: the system interface, the training engine, input preparation and backbones."""
