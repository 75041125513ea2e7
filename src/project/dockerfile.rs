//! Dockerfiles: what a build reads, stands on and declares.
