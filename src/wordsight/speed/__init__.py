"""How fast a model is on this machine, and whether the machine was quiet enough to say so."""
