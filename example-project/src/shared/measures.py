"""Measurements as pandas frames; used by the workers, so it must not need a Spark session."""


def complete(birds, columns):
    """The rows that have a value in each of the columns."""
    return birds.dropna(subset=columns)
