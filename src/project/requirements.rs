//! Requirements files and the `requirements.lock` beside each.
