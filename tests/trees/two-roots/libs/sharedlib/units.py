def tonnes(kg):
    return kg / 1000
