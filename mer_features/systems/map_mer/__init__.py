"""MAP-MER (paper 004): mimicking the annotation process, with action units per half of the face."""
