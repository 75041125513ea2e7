import csv
from pathlib import Path


def offset(harbour):
    with open(Path(__file__).parent / "harbours.csv", newline="") as file:
        return {row["harbour"]: float(row["offset"]) for row in csv.DictReader(file)}[harbour]
