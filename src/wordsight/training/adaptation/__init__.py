"""Making a model fit one's own pictures, from a few of them or by teaching its towers more."""
