//! Archives and the vendoring plan (deterministic).
