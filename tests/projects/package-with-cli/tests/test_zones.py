from parcels.zones import far


def test_far_costs_more():
    assert far(1) == 5
