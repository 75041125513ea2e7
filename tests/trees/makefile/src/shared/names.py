NAMES = ["Zoë", "Ada"]
