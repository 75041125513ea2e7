def is_plausible(kwh):
    return kwh >= 0
