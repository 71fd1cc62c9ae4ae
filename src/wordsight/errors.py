"""Every error wordsight raises on purpose, drawn as a tree.

    WordsightError            exit code 2: something the caller can put right
    |- ConfigError            a setting, option or configuration file
    |- InputError             an argument: a label, a template, a path that is not there
    |- FitError               an InputError and a ValueError: samples that cannot be learnt from
    |- ImageError             one picture that cannot be used
    |- TextError              one sentence or tokenizer that cannot be used
    |- DataError              pairs: unreadable rows, too few of them, too many bad ones
    |- BundleError            a model folder that is damaged, partial, foreign or hostile
    |- CheckpointError        a model file of another library: damaged, hostile, or of no known kind
    |- TrainingError          a run that cannot go on: a loss that is no number, other settings
    |- CapacityError          a stated limit (pixels, bytes, size on disk) would be exceeded
    |- BusyError              another process is writing the same folder
    `- MissingError           exit code 3: a package, engine or device this machine lacks

A message says what happened, names the value, and states what was expected; `hint` says what to do.
"""


class WordsightError(Exception):
    """Something the user can put right; the command line prints it without a traceback."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str = ""):
        super().__init__(message)
        self.hint = hint


class ConfigError(WordsightError):
    """A setting is unknown, or its value is not allowed."""


class InputError(WordsightError):
    """An argument is not usable."""


class FitError(InputError, ValueError):
    """Samples that nothing can be learnt from; scikit-learn's tools expect a ValueError."""


class ImageError(WordsightError):
    """A picture cannot be used; other pictures of the same batch are not affected."""


class TextError(WordsightError):
    """A sentence or a tokenizer cannot be used."""


class DataError(WordsightError):
    """Pairs cannot be read, or are not enough to learn from."""


class BundleError(WordsightError):
    """A model folder is damaged, partial, foreign or hostile."""


class CheckpointError(WordsightError):
    """A model file of another library is damaged, partial, hostile or of no known kind."""


class TrainingError(WordsightError):
    """A training run cannot go on."""


class CapacityError(WordsightError):
    """A stated limit would be exceeded."""


class BusyError(WordsightError):
    """Another process is writing the same folder."""


class MissingError(WordsightError):
    """This machine lacks a package, an engine or a device."""

    exit_code = 3
