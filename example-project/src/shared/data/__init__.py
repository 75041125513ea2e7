"""The data sets that travel inside the image."""
