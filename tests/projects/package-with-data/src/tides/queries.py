from pathlib import Path


def query(name):
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_text()
