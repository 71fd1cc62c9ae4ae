"""Making a large model small on pictures that nobody has labelled, measured against its parent."""
