"""The one error that a person at the command line is meant to read."""


class UsageError(Exception):
    """Wrong use, or a machine that can't do it: one sentence, printed as it is; the command exits with 2."""
