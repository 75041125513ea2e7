"""The limits in the file beside this module."""

from functools import lru_cache
from pathlib import Path

import yaml


@lru_cache(maxsize=None)
def limits():
    with open(Path(__file__).parent / "limits.yaml", encoding="utf-8") as file:
        return yaml.safe_load(file)


def is_short(product, count):
    return count < limits().get(product, 1)
