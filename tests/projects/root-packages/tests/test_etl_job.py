from dependencies.floors import name_of


def test_the_first_floor_is_the_second_name():
    assert name_of(1) == "first"
