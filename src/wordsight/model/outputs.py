"""Names of the arrays that a tower returns, in torch and in ONNX.

Shape letters: N batch, E joint space, D features, K classes.
"""

EMBEDDING = "embedding"
"""(N, E) unit vectors: the output every tower with a head has."""
FEATURES = "features"
"""(N, D) what the frozen tower says before its head."""
LOGITS = "logits"
"""(N, K) class scores of a supervised image tower."""
