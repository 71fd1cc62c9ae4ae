"""Learning both towers from pairs: the paper's method (Radford et al., 2021, section 2)."""
