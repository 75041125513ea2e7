//! Wheels: their names, and which of them an image's Python takes first.
