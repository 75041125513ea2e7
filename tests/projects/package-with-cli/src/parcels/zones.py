import json
from importlib.metadata import entry_points
from pathlib import Path

PRICES = json.loads((Path(__file__).parent / "prices.json").read_text())


def near(weight):
    return weight * PRICES["near"]


def far(weight):
    return weight * PRICES["far"]


def price(zone, weight):
    (point,) = entry_points(group="parcels.zones", name=zone)
    return point.load()(weight)
