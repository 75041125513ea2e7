"""The Spark session."""

import os


def session(name, executor_paths=()):
    """The session of a job.

    `executor_paths` are put before the executors' PYTHONPATH. In the image there are
    none: its PYTHONPATH already holds for both sides, and must not be replaced.
    """
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName(f"penguins-{name}")
    if executor_paths:
        paths = [*executor_paths, os.environ.get("PYTHONPATH", "")]
        builder = builder.config("spark.executorEnv.PYTHONPATH", os.pathsep.join(filter(None, paths)))
    return builder.getOrCreate()
