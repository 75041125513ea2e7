"""Builds the wheel of a source tree by the hooks of its build backend, as PEP 517 has them."""

import importlib
import json
import os
import site
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))


def backend_of(order):
    for folder in reversed(order["backend_path"]):
        sys.path.insert(0, os.path.join(os.getcwd(), folder))
    module, _, attributes = order["backend"].partition(":")
    found = importlib.import_module(module)
    for attribute in filter(None, attributes.split(".")):
        found = getattr(found, attribute)
    return found


def main():
    with open(os.path.join(ROOT, "order.json"), encoding="utf-8") as file:
        order = json.load(file)
    tools = os.path.join(ROOT, "tools")
    wheels = os.path.join(ROOT, "wheels")
    os.makedirs(wheels)
    os.chdir(os.path.join(ROOT, "source", order["folder"]))
    own = len(sys.path)
    site.addsitedir(tools)
    # What the backend needs comes before what the image has.
    sys.path[:] = sys.path[own:] + [path for path in sys.path[1:own] if "/opt/" not in path]
    os.environ["PYTHONPATH"] = tools
    os.environ["PATH"] = os.path.join(tools, "bin") + os.pathsep + os.environ["PATH"]
    os.environ["HOME"] = "/tmp"
    # Archives with the time of the build would have other bytes each time.
    os.environ["SOURCE_DATE_EPOCH"] = "315532800"
    backend = backend_of(order)
    more = getattr(backend, "get_requires_for_build_wheel", lambda settings=None: [])(None)
    more = [line for line in more if line not in order["requires"]]
    if more:
        with open(os.path.join(wheels, "requires.json"), "w", encoding="utf-8") as file:
            json.dump(more, file)
        return
    print("built", backend.build_wheel(wheels))


if __name__ == "__main__":
    main()
