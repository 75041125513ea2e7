"""Renders generated values as their charts would, before and after a pin, and compares with what is known of them.

    render.py BEFORE AFTER TRUTH

BEFORE and AFTER are files of YAML documents. TRUTH is JSON: for each document the images that its chart runs, each with
the paths of its parts (registry, repository, tag, digest) and the reference that has to come out of them. Every other
value has to be what it was.
"""

import json
import sys

import yaml


class Text(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):
    """Reads every scalar as text: what a chart prints of it."""


Text.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":null", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, below in value.items():
            yield from leaves(below, path + (str(key),))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from leaves(below, path + (str(index),))
    else:
        yield path, "" if value is None else str(value)


def rendered(values, parts):
    part = {name: values.get(tuple(path), "") for name, path in parts.items()}
    text = part.get("repository", "")
    if part.get("registry"):
        text = f"{part['registry']}/{text}"
    if part.get("tag"):
        text += f":{part['tag']}"
    digest = part.get("digest", "")
    if digest:
        text += "@" + (digest if ":" in digest else f"sha256:{digest}")
    return text


def main():
    before, after, truth = sys.argv[1:]
    with open(truth) as file:
        truth = json.load(file)
    with open(before) as old, open(after) as new:
        old = [dict(leaves(document)) for document in yaml.load_all(old, Loader=Text)]
        new = [dict(leaves(document)) for document in yaml.load_all(new, Loader=Text)]
    assert len(old) == len(new) == len(truth), (len(old), len(new), len(truth))
    wrong = 0
    for number, (was, values, known) in enumerate(zip(old, new, truth)):
        touched = set()
        for image in known["images"]:
            text = rendered(values, image["parts"])
            touched.update(tuple(path) for path in image["parts"].values())
            if text != image["reference"]:
                print(f"document {number}: renders {text}, not {image['reference']}: {values}", file=sys.stderr)
                wrong += 1
        assert was.keys() == values.keys(), (number, was, values)
        for path, value in was.items():
            if path not in touched and values[path] != value:
                print(f"document {number}: {path} was {value}, is {values[path]}", file=sys.stderr)
                wrong += 1
    print(json.dumps({"documents": len(truth), "images": sum(len(known["images"]) for known in truth)}))
    return 1 if wrong else 0


sys.exit(main())
