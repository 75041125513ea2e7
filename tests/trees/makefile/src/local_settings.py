MASTER = "local[2]"
