//! sparkpack.

fn main() {}
