"""A runner that counts what it is asked."""

from collections.abc import Sequence

from wordsight.model.outputs import EMBEDDING


class Counted:
    """A real runner that counts the rows it was given."""

    def __init__(self, runner):
        self.runner, self.num_rows = runner, 0
        self.path, self.outputs = runner.path, runner.outputs
        self.takes_any_length = runner.takes_any_length

    def run(self, batch, outputs: Sequence[str] = (EMBEDDING,)):
        self.num_rows += len(batch)
        return self.runner.run(batch, outputs)
