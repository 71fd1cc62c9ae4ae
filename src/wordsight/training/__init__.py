"""How the space is learnt (torch)."""
