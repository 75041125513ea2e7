RATES = {"near": 2, "far": 5}


def price(zone, weight):
    return RATES[zone] * weight
