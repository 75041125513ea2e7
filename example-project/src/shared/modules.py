"""What a Python process can import, and from where; needs no Spark."""

import importlib
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path


def describe(names):
    """(module, version, path, native) of each module; the version is empty where it has none."""
    return [_describe(name) for name in names]


def _describe(name):
    module = importlib.import_module(name)
    path = str(module.__file__)
    return name, str(getattr(module, "__version__", "")), path, _is_native(path)


def _is_native(path):
    suffixes = tuple(EXTENSION_SUFFIXES)
    if path.endswith(suffixes):
        return True
    folder = Path(path).parent
    # The folder of a module in a zip is none of the file system, and holds no native code.
    is_package = Path(path).name == "__init__.py" and folder.is_dir()
    return is_package and any(file.name.endswith(suffixes) for file in folder.rglob("*"))


def check_same(on_driver, on_executors):
    """Fails where an executor has another version than the driver."""
    expected = {module: version for _, module, version, *_ in on_driver}
    for _, module, version, path, _ in on_executors:
        if version != expected[module]:
            raise RuntimeError(
                f"{module} is {version} on an executor ({path}) and {expected[module]} on the driver: "
                "they do not run the same image"
            )
