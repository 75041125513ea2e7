"""Imports what a job may import, in the job's own image: on the driver, and in the Python workers of a small cluster.

The request is one line of JSON on stdin, and the results are lines of JSON on stdout. What modules and Spark print goes
to stderr. The end of stdin is the end of whoever asked, and so of this program: nobody waits for its results any more.
"""

import ast
import base64
import faulthandler
import importlib
import importlib.util
import json
import os
import re
import sys
import tempfile
import threading
import time
import traceback

# For two executors to start; the whole test has a limit of its own.
STARTING = 180


# A small cluster, whatever the image's own configuration says: its executors are processes of their own.
CLUSTER = (
    ("spark.master", "local-cluster[2,1,1024]"),
    ("spark.app.name", "import-test"),
    ("spark.cores.max", "2"),
    ("spark.driver.bindAddress", "127.0.0.1"),
    ("spark.driver.host", "localhost"),
    ("spark.driver.memory", "512m"),
    ("spark.dynamicAllocation.enabled", "false"),
    ("spark.eventLog.enabled", "false"),
    ("spark.executor.cores", "1"),
    ("spark.executor.instances", "2"),
    ("spark.executor.memory", "512m"),
    ("spark.jars.ivy", "/tmp/import-test-ivy"),
    ("spark.task.cpus", "1"),
    ("spark.task.maxFailures", "1"),
    ("spark.ui.enabled", "false"),
    ("spark.ui.showConsoleProgress", "false"),
)


def tell(**event):
    os.write(ANSWERS, (json.dumps(event) + "\n").encode("ascii"))


def read_request():
    """The request; from then on the end of stdin ends the process."""
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(REQUESTS, 1 << 16)
        if not piece:
            os._exit(70)
        line += piece

    def wait_for_the_end():
        while os.read(REQUESTS, 1 << 16):
            pass
        os._exit(70)

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    return json.loads(line.decode("utf-8"))


def reason(error):
    """What went wrong: the exception, and the place where it was raised."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "exceptions", None):
        name = kind.__module__ + "." + name
    try:
        message = str(error)
    except Exception:
        message = ""
    place = None
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        place = [error.filename, error.lineno]
        message = error.msg or message
    else:
        for frame in traceback.extract_tb(error.__traceback__):
            if not frame.filename.startswith("<") and frame.filename != importlib.__file__:
                place = [frame.filename, frame.lineno]
    return {"type": name, "message": message[:4000], "place": place}


def attempt(action):
    """Why the action fails; `None` if it does not."""
    try:
        action()
    except BaseException as error:  # A module may also call sys.exit.
        return reason(error)
    return None


def handles_import_errors(node):
    names = set()
    for handler in node.handlers:
        if handler.type is None:
            return True
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        names.update(getattr(kind, "id", None) for kind in kinds)
    return bool(names & {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def is_main_guard(test):
    if not isinstance(test, ast.Compare):
        return False
    sides = [test.left] + test.comparators
    return any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)


def imports_of(statements):
    """The imports that a script makes in any case, before it does anything else of its own."""
    for node in statements:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.With) or (isinstance(node, ast.If) and is_main_guard(node.test)):
            for inner in imports_of(node.body):
                yield inner
        elif isinstance(node, ast.Try) and not handles_import_errors(node):
            for inner in imports_of(node.body):
                yield inner


def import_as_script(name, code):
    """Compiles an entry point, which is not run, and makes its imports."""
    tree = compile(code, name, "exec", ast.PyCF_ONLY_AST)
    compile(code, name, "exec")
    for statement in list(imports_of(tree.body)):
        module = ast.parse("")
        module.body = [statement]
        exec(compile(module, name, "exec"), {"__name__": "__main__"})


def modules_of(request):
    """All modules, with those entry points that do their work only where they are run."""
    names = request["packages"] + request["modules"]
    for main in request["mains"]:
        try:
            body = ast.parse(base64.b64decode(main["code"])).body
        except SyntaxError:
            continue
        if any(isinstance(node, ast.If) and is_main_guard(node.test) for node in body):
            names += main["modules"]
    return names


def normal(name):
    return re.sub("[-_.]+", "-", name).lower()


def came_along(names, asked):
    """Those top-level modules of packages that nobody asked for, but that others require.

    They may need what the image does not have where nobody uses it: a program, a library of the system.
    """
    try:
        from importlib.metadata import distributions
    except ImportError:
        return set()
    owners = {}
    for distribution in distributions():
        name = normal(distribution.metadata["Name"] or "")
        listed = (distribution.read_text("top_level.txt") or "").split()
        for top in listed or [name.replace("-", "_")]:
            owners.setdefault(top, set()).add(name)
    along = set()
    for module in names:
        of_name = {normal(module)}
        known = of_name if of_name & asked else owners.get(module) or owners.get(module.split(".")[0]) or set()
        if known and not known & asked:
            along.add(module)
    return along


def import_all(names, begin):
    """Imports modules one after the other; the result by name."""
    for name in names:
        begin(name)
        yield name, attempt(lambda: importlib.import_module(name))


def makes_session(code):
    """Whether a script starts Spark at its top, so that imports after it find a session."""
    try:
        body = ast.parse(code).body
    except SyntaxError:
        return False
    at_top = [node for node in body if isinstance(node, (ast.Assign, ast.AnnAssign, ast.Expr))]
    names = [node.id for top in at_top for node in ast.walk(top) if isinstance(node, ast.Name)]
    return any(name.startswith("Spark") for name in names)


def begin_on_driver(name):
    tell(begin=name, on="driver")


def import_mains(mains):
    """Makes the imports of entry points."""
    for main in mains:
        begin_on_driver(main["name"])
        yield main["name"], attempt(lambda: import_as_script(main["name"], base64.b64decode(main["code"])))


def find_spark():
    """The folder of Spark. PySpark is put on the path where the image leaves that to spark-submit."""
    home = os.environ.get("SPARK_HOME")
    if home and importlib.util.find_spec("pyspark") is None:
        folder = os.path.join(home, "python")
        library = os.path.join(folder, "lib")
        zips = [os.path.join(library, name) for name in os.listdir(library) if name.startswith("py4j-")]
        sys.path[1:1] = [folder] + zips
    if not home:
        home = os.path.dirname(importlib.import_module("pyspark").__file__)
    return home


def link_all(home, copy):
    """Makes a folder with everything of Spark's, in which workers can make the folder that they need there."""
    os.mkdir(copy)
    for name in os.listdir(home):
        if name != "work":
            os.symlink(os.path.join(home, name), os.path.join(copy, name))


def prepare_spark(home, copy):
    """Makes sure that whoever starts Spark in this process gets a cluster of two executors, each a process of its own."""
    link_all(home, copy)
    os.environ["SPARK_HOME"] = copy
    # The container has no network but loopback, and its name may lead nowhere.
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ["SPARK_LOCAL_HOSTNAME"] = "localhost"
    settings = ["--conf %s=%s" % setting for setting in CLUSTER]
    os.environ["PYSPARK_SUBMIT_ARGS"] = " ".join(settings + ["pyspark-shell"])
    # Nothing runs for long here, so that compiling it well would only take time.
    options = [os.environ.get("JAVA_TOOL_OPTIONS", ""), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    os.environ["JAVA_TOOL_OPTIONS"] = " ".join(options).strip()


def start_spark():
    """A session with both executors."""
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    # One that a module has made on its own way may be another than this.
    if SparkContext._active_spark_context:
        SparkContext._active_spark_context.stop()
    conf = SparkConf().setAll(CLUSTER)
    spark = SparkSession.builder.config(conf=conf).getOrCreate()
    context = spark.sparkContext
    until = time.time() + STARTING
    # The driver counts as one.
    while context._jsc.sc().getExecutorMemoryStatus().size() < 3:
        if time.time() > until:
            raise RuntimeError("its two executors did not start within %d seconds" % STARTING)
        time.sleep(0.2)
    return spark


def import_on_workers(spark, names, scratch):
    """Imports modules in two Python workers. What each is at lies in a file, for the case that it dies of it."""

    def work(index, _rows):
        def begin(name):
            with open(os.path.join(scratch, "worker-%d" % index), "w") as file:
                file.write(name)

        return list(import_all(names, begin))

    return spark.sparkContext.parallelize(range(2), 2).mapPartitionsWithIndex(work).collect()


def was_at(scratch):
    names = set()
    for index in range(2):
        try:
            with open(os.path.join(scratch, "worker-%d" % index)) as file:
                names.add(file.read())
        except OSError:
            pass
    return sorted(names)


def without_trace(failed):
    """The reason that Spark gives for a job that failed, without the traces of its own code."""
    lines = failed["message"].splitlines() or [""]
    ended = [line for line in lines if "Python worker exited" in line]
    if ended:
        message = "Python worker exited" + ended[0].split("Python worker exited", 1)[1]
        return {"type": "SparkException", "message": message.split(". ")[0], "place": None}
    return {"type": failed["type"], "message": "\n".join(lines[:4]), "place": None}


def add_by_arrow(spark):
    """Sends numbers through an Arrow UDF on both executors."""
    import pandas
    from pyspark.sql.functions import pandas_udf

    @pandas_udf("long")
    def plus_one(numbers: pandas.Series) -> pandas.Series:
        return numbers + 1

    found = [row[0] for row in spark.range(0, 4, 1, 2).select(plus_one("id")).collect()]
    if found != [1, 2, 3, 4]:
        raise RuntimeError("it made %r of [0, 1, 2, 3]" % found)


def test(request, scratch):
    home = find_spark()
    # Messages name Spark's own folder.
    copy = os.path.join(scratch, "spark")

    def tell_result(**event):
        tell(**json.loads(json.dumps(event).replace(json.dumps(copy)[1:-1], json.dumps(home)[1:-1])))

    def tell_driver(results):
        for name, failed in results:
            tell_result(imported=name, on="driver", failed=failed, along=name in along)

    names = modules_of(request)
    along = came_along(request["packages"], set(request["asked"]))
    prepare_spark(home, copy)
    # Most scripts import what they need before they start Spark.
    with_session = [main for main in request["mains"] if makes_session(base64.b64decode(main["code"]))]
    tell_driver(import_mains([main for main in request["mains"] if main not in with_session]))
    sessions = []
    tell(begin="Spark", on="driver")
    failed = attempt(lambda: sessions.append(start_spark()))
    if failed:
        tell_result(no_spark=without_trace(failed))
        return
    spark = sessions[0]
    tell(spark=spark.version, python=sys.version.split()[0])
    tell_driver(import_all(names, begin_on_driver))
    tell_driver(import_mains(with_session))
    results = []
    tell(begin="", on="workers")
    died = attempt(lambda: results.extend(import_on_workers(spark, names, scratch)))
    for name, failed in results:
        tell_result(imported=name, on="workers", failed=failed, along=name in along)
    if died:
        tell_result(died=without_trace(died), at=was_at(scratch))
    elif importlib.util.find_spec("pandas") and importlib.util.find_spec("pyarrow"):
        tell(begin="", on="arrow")
        tell_result(imported="", on="arrow", failed=attempt(lambda: add_by_arrow(spark)))
    tell(done=True)


def main():
    request = read_request()
    # As for a script there: a driver looks beside the script first.
    sys.path[0] = request["folder"]
    test(request, tempfile.mkdtemp(prefix="import-test-"))


if __name__ == "__main__":
    faulthandler.enable()
    REQUESTS, ANSWERS = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    main()
    # Nothing that was imported is asked whether the process may end; the container ends with it.
    os._exit(0)
