REGIONS = ["north", "south"]
