//! Python's installers: uv, or pip where uv is not there.
