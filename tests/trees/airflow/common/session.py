def named(builder, name):
    return builder.appName(name)
