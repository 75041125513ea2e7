from pathlib import Path


def name_of(floor):
    names = (Path(__file__).parent / "floors.txt").read_text().split()
    return names[floor]
