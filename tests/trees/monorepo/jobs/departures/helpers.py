def label(name):
    return f"monorepo {name}"
