"""SA-AT (paper 002): style-aggregated apex faces, and attention transfer from a macro-expression teacher."""
