from orders.rates import in_euro


def test_euro():
    assert in_euro(20.0, "CHF") == 21.0
