"""The errors that Throughtime raises on purpose.

```
Exception
└── ThroughtimeError
    ├── OptionError (also a ValueError)         an option is out of range, or options contradict
    ├── DataError                               a data file is missing, empty, broken or too short
    │   ├── UnknownTokenError                   a text holds a token that the vocabulary lacks
    │   └── NotANumberError (also a ValueError) a model's output is NaN or infinite for this input
    ├── RunError                                a run folder is missing, incomplete or damaged
    │   └── CheckpointError                     a checkpoint cannot be read or does not fit the model
    ├── DivergedError                           the loss became NaN or infinite
    ├── ProcessError                            one of several processes that train together has ended
    └── MissingExtraError (also an ImportError) an optional library is missing
```

A message holds what went wrong, where, and what to do about it. Any other exception is a bug in Throughtime.
"""


class ThroughtimeError(Exception):
    """The parent of every error that is meant for the user to read.

    Attributes:
        said_elsewhere: another process of the same training tells the user.
    """

    said_elsewhere = False


class OptionError(ThroughtimeError, ValueError):
    """An option is out of its range, or two options contradict each other."""


class DataError(ThroughtimeError):
    """A data file is missing, empty, broken or too short."""


class UnknownTokenError(DataError):
    """A text holds a token that the vocabulary does not know."""


class NotANumberError(DataError, ValueError):
    """A model's output is NaN or infinite: there is no label, word or score to take from it."""


class RunError(ThroughtimeError):
    """A run folder is missing, incomplete or damaged."""


class CheckpointError(RunError):
    """A checkpoint cannot be read, or it does not fit the model that should load it."""


class DivergedError(ThroughtimeError):
    """The loss became NaN or infinite, so going on would only waste time."""


class ProcessError(ThroughtimeError):
    """One of several processes that train together has ended, so the others cannot go on."""


class MissingExtraError(ThroughtimeError, ImportError):
    """An optional library is missing; the message says which extra to install."""
