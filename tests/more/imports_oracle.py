"""Says which findings of an import check are not so, as the chain's own Python sees it, without a word of sparkpack's.

usage: imports_oracle.py REQUEST    a file of JSON: {"path": [FOLDER…], "files": [FILE…], "findings": [FINDING…]}

A finding has `kind`, `file` and `line`, and of an import `module` or `package` and `name`. Prints one line of JSON:
`wrong`, the findings that are not so with the reason, and `unread`, the files with a syntax error that no finding tells of.
"""

import functools
import importlib
import importlib.machinery
import importlib.util
import json
import os
import signal
import symtable
import sys
import warnings

warnings.simplefilter("ignore")


def compiles(path):
    with open(path, "rb") as file:
        source = file.read()
    try:
        compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def in_folder(folder, name):
    """What a folder has under a name, as the finder of Python's own path does it."""
    loaders = [
        (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
        (importlib.machinery.SourceFileLoader, importlib.machinery.SOURCE_SUFFIXES),
    ]
    return importlib.machinery.FileFinder(folder, *loaders).find_spec(name)


@functools.lru_cache(maxsize=None)
def is_file(module):
    """Whether the path has the module; nothing is run."""
    folders = [folder for folder in sys.path if os.path.isdir(folder)]
    top, _, rest = module.partition(".")
    if top in sys.builtin_module_names or importlib.machinery.FrozenImporter.find_spec(top):
        if not rest:
            return True
    for part in module.split("."):
        found = [spec for spec in (in_folder(folder, part) for folder in folders) if spec]
        whole = next((spec for spec in found if spec.loader), None)
        if whole:
            folders = list(whole.submodule_search_locations or [])
        elif found:
            folders = [folder for spec in found for folder in spec.submodule_search_locations]
        else:
            return False
    return True


def asked_in_a_child(action):
    """What the action answers in a process of its own: modules do as they like."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        signal.alarm(60)
        answer = b"-"
        try:
            answer = b"y" if action() else b"n"
        except ModuleNotFoundError:
            answer = b"n"
        except BaseException:
            pass
        os.write(writer, answer)
        os._exit(0)
    os.close(writer)
    answer = os.read(reader, 1)
    os.close(reader)
    os.waitpid(child, 0)
    return {b"y": True, b"n": False}.get(answer)


def can_be_imported(module):
    def action():
        importlib.import_module(module)
        return True

    return asked_in_a_child(action)


def has_name(module, name):
    def action():
        found = importlib.import_module(module)
        return hasattr(found, name) or bool(can_be_found(f"{module}.{name}"))

    def can_be_found(full):
        return importlib.util.find_spec(full)

    return asked_in_a_child(action)


def binds(module, name):
    """Whether the file of a module binds a name, as the compiler sees it."""
    path = None
    for folder in sys.path:
        for end in (".py", "/__init__.py"):
            candidate = os.path.join(folder, module.replace(".", "/") + end)
            if path is None and os.path.isfile(candidate):
                path = candidate
    if path is None:
        return False
    with open(path, "rb") as file:
        table = symtable.symtable(file.read(), path, "exec")
    if name not in table.get_identifiers():
        return False
    symbol = table.lookup(name)
    return symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()


def why_wrong(finding):
    kind, module, name = finding["kind"], finding.get("module", ""), finding.get("name", "")
    if kind == "Syntax":
        return "the file is compiled" if compiles(finding["path"]) else None
    if kind in ("TooFar", "NoPackage"):
        package = os.path.dirname(finding["file"]).replace("/", ".")
        try:
            importlib.util.resolve_name("." * finding["level"] + "x", package)
        except (ImportError, ValueError):
            return None
        return f"the dots lead out of no package of `{package}`"
    if kind == "Shadows":
        known = name in sys.stdlib_module_names or name in ("pyspark", "py4j")
        return None if known else "nothing has this name"
    if kind == "NoSuchName":
        there = has_name(module, name)
        if there is None:
            there = binds(module, name) or is_file(f"{module}.{name}")
        return f"`{module}` has it" if there else None
    if kind == "OtherPython":
        return "this Python has it" if is_file(module) else None
    full = f"{module}.{name}" if name else module
    if is_file(full):
        return f"`{full}` is a file"
    if not is_file(full.partition(".")[0]):
        return None
    return f"`{full}` can be imported" if can_be_imported(full) else None


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    sys.path[:0] = request["path"]
    told = {finding["path"] for finding in request["findings"] if finding["kind"] == "Syntax"}
    known, wrong = {}, []
    for finding in request["findings"]:
        key = json.dumps({name: finding[name] for name in sorted(finding) if name not in ("line", "shown")})
        if finding["kind"] not in ("Syntax", "TooFar", "NoPackage"):
            key = json.dumps([finding["kind"], finding.get("module"), finding.get("name")])
        if key not in known:
            known[key] = why_wrong(finding)
        if known[key]:
            wrong.append(f"{finding['kind']} {finding['file']}:{finding['line']}: {known[key]}")
    unread = [path for path in request["files"] if path not in told and not compiles(path)]
    print(json.dumps({"wrong": wrong, "unread": unread}))


main()
