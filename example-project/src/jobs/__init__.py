"""One module a job; `--job NAME` is the module's name."""
