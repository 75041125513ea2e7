//! YAML: locate and splice (pure).
