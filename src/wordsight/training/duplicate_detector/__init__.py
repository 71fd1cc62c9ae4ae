"""A small network that knows a copy of a picture by its content (Radford et al., 2021, appendix C).

The towers of a CLIP model would not do: they find two pictures of one thing alike, and two of one
thing are no overlap. This network learns the opposite: only what comes from the same pixels is
alike, however it was cropped, stretched, turned, compressed or tinted.
"""
