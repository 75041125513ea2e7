//! Which files of a folder are no input: built-in rules, configuration, `.dockerignore`.
