"""Which modules the driver and the executors import, in which version, from where.

The job to run first when another one fails with ModuleNotFoundError, or when results
differ between a laptop and the cluster.
"""

import pandas

from shared.modules import check_same, describe

DEFAULT = "numpy,pandas,pyarrow,rapidfuzz,slugify,jobs,shared"
COLUMNS = ["place", "module", "version", "path", "native"]
SCHEMA = "place string, module string, version string, path string, native boolean"


def analyze(spark, modules=DEFAULT, workers="2"):
    """One row a module and place; `modules` is a list with commas.

    A module that cannot be imported, or that has another version on an executor than on
    the driver, fails the job.
    """
    names = [name.strip() for name in modules.split(",") if name.strip()]

    def report(batches):
        for batch in batches:
            rows = [("executor", *row) for _ in range(len(batch)) for row in describe(names)]
            yield pandas.DataFrame(rows, columns=COLUMNS)

    on_driver = [("driver", *row) for row in describe(names)]
    tasks = spark.range(0, int(workers), 1, int(workers))
    on_executors = [tuple(row) for row in tasks.mapInPandas(report, SCHEMA).distinct().collect()]
    check_same(on_driver, on_executors)
    return spark.createDataFrame(on_driver + on_executors, SCHEMA).orderBy("place", "module", "path")
