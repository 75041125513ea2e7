import importlib.resources


def is_wanted(word):
    passed_over = importlib.resources.files("shared").joinpath("passed-over.txt").read_text()
    return word not in passed_over.split()
