"""Model files of other libraries: read without trust, written so that those libraries open them.

`opening.open_checkpoint` reads any of them, `writing.write_checkpoint` writes any of them. In
between stands a `Checkpoint`: our names, our shapes, the numbers untouched.
"""
