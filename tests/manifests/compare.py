#!/usr/bin/env python3
"""Compares manifests before and after `sparkpack pin` as other readers see them: PyYAML, libyaml and ruamel.yaml.

usage: compare.py [--either] BEFORE AFTER < tags.json

BEFORE and AFTER are folders with the same files; stdin is what `sparkpack tags --format json` prints. Every file is
read as events (all scalars as text, with tags, anchors and styles) and as values, by PyYAML and by libyaml; and by
ruamel.yaml's round-trip loader, as values and as comments; JSON by Python's own reader too. Each time both sides have
to be the same, but for scalars that named an image of the project and now name the present one.

Prints {"files": {NAME: {"changed": COUNT, "readers": [READER…]}}}. Exit code 1 where anything else differs, where a
file that a reader should be able to read is not read (UNREADABLE; with --either, where no reader reads it), and where
one that it should not is read after all.
"""

import datetime
import json
import multiprocessing
import pathlib
import sys
import warnings

import ruamel.yaml
import yaml

# Recursive descent, in both.
sys.setrecursionlimit(20_000)
# An anchor may be defined again.
warnings.simplefilter("ignore", ruamel.yaml.error.ReusedAnchorWarning)

# YAML 1.2 that a reader refuses, and why.
TABS = "takes no tab between tokens"
ANCHORS = "wants each anchor of a document defined once"
UNREADABLE = {
    "PyYAML": {
        "anchors-defined-again.yml": ANCHORS,
        "colons-on-the-next-line.json": "takes no line break before the colon of an implicit key",
        "tabs-between-key-and-value.yml": TABS,
        "tabs.json": TABS,
        "trailing-tabs.yml": TABS,
    },
    "libyaml": {
        "anchors-defined-again.yml": ANCHORS,
        "escapes.json": "takes no character as a pair of surrogates, as JSON writes it",
        "colons-on-the-next-line.json": "takes no line break before the colon of an implicit key",
    },
    "ruamel.yaml": {
        "documents-ended-twice.yml": "takes no end of a document that ended already",
        "colons-on-the-next-line.json": "takes no line break before the colon of an implicit key",
        "tabs-between-key-and-value.yml": TABS,
        "trailing-tabs.yml": TABS,
    },
}


class Difference(Exception):
    """What differs and must not."""


class Unreadable(Exception):
    """What a reader says of a file that it cannot read."""


# Values: pairs of those that differ, and an error for anything else that does.


def differing(before, after, path=""):
    """The pairs of leaves that differ; containers must have the same keys, in their order, and the same lengths."""
    if type(before) is not type(after):
        raise Difference(f"{path}: {before!r} is now {after!r}")
    if isinstance(before, dict):
        if after.get("event") == "ScalarEvent" and after["value"] == "" and before["value"] != "":
            # Without quotes nothing would be null: the style changes with the value.
            after = after | {key: before[key] for key in ("style", "implicit")}
        if list(before) != list(after):
            raise Difference(f"{path}: the keys {list(before)!r} are now {list(after)!r}")
        for key in before:
            yield from differing(before[key], after[key], f"{path}.{key}")
    elif isinstance(before, (list, tuple)):
        if len(before) != len(after):
            raise Difference(f"{path}: of {len(before)} items there are now {len(after)}")
        for number, (old, new) in enumerate(zip(before, after)):
            yield from differing(old, new, f"{path}[{number}]")
    elif before != after and (before == before or after == after):
        if not isinstance(before, (str, int, float, datetime.date)) or not isinstance(after, str):
            raise Difference(f"{path}: {before!r} is now {after!r}")
        yield path, before, after


def changed(before, after, images):
    """How many values differ, each of which has to be an image."""
    count = 0
    for path, old, new in differing(before, after):
        if isinstance(old, str) and ("\n" in old.strip() or old.startswith("{")):
            # A resource as text: what differs in it has to be an image as well, in the line where it was.
            if old.count("\n") != new.count("\n"):
                raise Difference(f"{path}: the lines of {old!r} are others in {new!r}")
            count += changed(events(old), events(new), images)
        elif images.replaces(old, new):
            count += 1
        else:
            raise Difference(f"{path}: {old!r} is now {new!r}")
    return count


class Images:
    """The project's images, from the JSON of `sparkpack tags`."""

    def __init__(self, document):
        self.references = {image["reference"]: image for image in document["images"]}
        self.parts = {""}
        for image in document["images"]:
            host, _, path = image["repository"].partition("/")
            prefix = image["repository"].rpartition("/")[0]
            self.parts |= {image["tag"], image["repository"], host, path, prefix}

    def replaces(self, old, new):
        """Whether a value that named an image, or a part of its reference, now names the present one."""
        image = self.references.get(new.rstrip("\n"))
        if image is None:
            return new in self.parts
        if trailing(old) != trailing(new):
            return False
        name = "/" + image["repository"].rpartition("/")[2]
        repository = old.rstrip("\n").partition("@")[0]
        if ":" in repository.rpartition("/")[2]:
            repository = repository.rpartition(":")[0]
        return repository.endswith(name)


def trailing(text):
    return len(text) - len(text.rstrip("\n"))


# Readers: each gives something that `changed` can compare, or raises Unreadable.


def events(data, loader=yaml.SafeLoader):
    """What the text says, scalar by scalar; nothing is resolved."""
    said = []
    for event in yaml.parse(data, loader):
        facts = vars(event).copy()
        facts.pop("start_mark")
        facts.pop("end_mark")
        said.append({"event": type(event).__name__, **facts})
    return said


class Tolerant:
    """A safe safe loader, with unknown tags beside their values, and keys that are collections."""

    def construct_mapping(self, node, deep=False):
        self.flatten_mapping(node)
        pairs = [(self.construct_object(key, deep=True), self.construct_object(value, deep=True)) for key, value in node.value]
        return {frozen(key): value for key, value in pairs}

    def tagged(self, suffix, node):
        if isinstance(node, yaml.ScalarNode):
            return suffix, self.construct_scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return suffix, self.construct_sequence(node, deep=True)
        return suffix, self.construct_mapping(node, deep=True)


class Values(Tolerant, yaml.SafeLoader):
    """PyYAML's own."""


class LibyamlValues(Tolerant, yaml.CSafeLoader):
    """The same over libyaml, another parser."""


Values.add_multi_constructor("", Tolerant.tagged)
LibyamlValues.add_multi_constructor("", Tolerant.tagged)


def frozen(key):
    if isinstance(key, list):
        return tuple(frozen(item) for item in key)
    if isinstance(key, dict):
        return tuple((name, frozen(value)) for name, value in key.items())
    return key


def pyyaml(data):
    return by_pyyaml(data, yaml.SafeLoader, Values)


def libyaml(data):
    return by_pyyaml(data, yaml.CSafeLoader, LibyamlValues)


def by_pyyaml(data, parser, values):
    try:
        return [events(data, parser), list(yaml.load_all(data, values))]
    except yaml.YAMLError as error:
        raise Unreadable(str(error)) from error


def ruamel_yaml(data):
    reader = ruamel.yaml.YAML(typ="rt")
    reader.preserve_quotes = True
    reader.allow_duplicate_keys = True
    try:
        documents = list(reader.load_all(data))
    except (ruamel.yaml.error.YAMLError, ValueError, NotImplementedError) as error:
        raise Unreadable(str(error)) from error
    return [[plain(document) for document in documents], [list(comments(document)) for document in documents]]


def plain(node):
    """The values without the classes that carry style; merged keys stay where they are merged from."""
    if isinstance(node, ruamel.yaml.comments.TaggedScalar):
        return str(node.tag), plain(node.value)
    if isinstance(node, ruamel.yaml.comments.CommentedMap):
        own = [(str(plain(key)), plain(value)) for key, value in node.items() if key in node._ok or not hasattr(node, "_ok")]
        return dict(own)
    if isinstance(node, dict):
        return {str(plain(key)): plain(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [plain(item) for item in node]
    if isinstance(node, str):
        return str(node)
    if isinstance(node, bool) or node is None:
        return node
    if isinstance(node, int):
        return int(node)
    if isinstance(node, float):
        return float(node)
    return repr(node)


def comments(node):
    """The texts of all comments that hang on a value, in some order that does not depend on the values."""
    attached = getattr(node, "ca", None)
    if attached is not None:
        yield from tokens([attached.comment, list(attached.items.values()), attached.end])
    comment = getattr(node, "comment", None)
    if comment is not None and isinstance(node, str):
        yield from tokens(comment)
    if isinstance(node, dict):
        for key, value in dict.items(node):
            yield from comments(key)
            yield from comments(value)
    elif isinstance(node, list):
        for value in list.__iter__(node):
            yield from comments(value)


def tokens(found):
    if isinstance(found, (list, tuple)):
        for each in found:
            yield from tokens(each)
    elif found is not None:
        yield getattr(found, "value", str(found))


READERS = {"PyYAML": pyyaml, "libyaml": libyaml, "ruamel.yaml": ruamel_yaml}


def json_values(data):
    return [json.loads(data)]


# Files.


def compare(name, before, after, images, either):
    """How many values differ, and who can read the file."""
    readers = dict(READERS)
    if name.endswith(".json"):
        readers["json"] = json_values
    counts = {}
    for reader, read in readers.items():
        reason = UNREADABLE.get(reader, {}).get(name)
        try:
            sides = zip(read(before), read(after), strict=True)
        except Unreadable as error:
            if reason is None and not either:
                raise Difference(f"{reader} cannot read it: {error}") from error
            continue
        if reason is not None:
            raise Difference(f"{reader} can read it, although `{reason}` is listed")
        totals = [changed(old, new, images) for old, new in sides]
        counts[reader] = totals[0]
        # The second are the same values by another loader, or comments.
        if any(total != (0 if reader == "ruamel.yaml" else totals[0]) for total in totals[1:]):
            raise Difference(f"{reader} sees {totals} values that differ")
    if not counts:
        raise Difference("no reader can read it")
    if len(set(counts.values())) != 1:
        raise Difference(f"the readers do not agree: {counts}")
    return {"changed": max(counts.values()), "readers": list(counts)}


def work(job):
    name, before, after, images, either = job
    try:
        return name, compare(name, before.read_bytes(), after.read_bytes(), images, either), None
    except Difference as error:
        return name, None, str(error)


def main(arguments):
    either = "--either" in arguments
    before, after = [pathlib.Path(argument) for argument in arguments if argument != "--either"]
    images = Images(json.load(sys.stdin))
    names = sorted(str(path.relative_to(before)) for path in before.rglob("*") if path.is_file())
    jobs = [(name, before / name, after / name, images, either) for name in names]
    with multiprocessing.Pool() as pool:
        results = pool.map(work, jobs, chunksize=4)
    failures = [f"{name}: {error}" for name, _, error in results if error]
    listed = {name for files in UNREADABLE.values() for name in files}
    if not either:
        failures += [f"{name} is listed, and is not there" for name in sorted(listed - set(names))]
    json.dump({"files": {name: result for name, result, error in results if not error}}, sys.stdout)
    print(*failures, sep="\n", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
