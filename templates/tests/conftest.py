import os
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src"


@pytest.fixture(scope="session")
def spark():
    """A small Spark in this process; tests that ask for it are skipped where PySpark is missing."""
    pyspark = pytest.importorskip("pyspark.sql")
    # Workers are processes of their own: they need this Python, and the path to the code.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        pyspark.SparkSession.builder.master("local[2]")
        .appName("@name@-tests")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.executorEnv.PYTHONPATH", os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")]))
        .getOrCreate()
    )
    yield session
    session.stop()
