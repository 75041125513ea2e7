//! The outside world; nothing here prints.
