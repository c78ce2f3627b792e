"""FR (paper 001): feature refinement by expression-specific learning and fusion."""
