//! Addresses of daemons.

use std::{
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A socket of this machine.
    Unix(PathBuf),
    /// `host:port`, without TLS.
    Plain(String),
    /// TLS with a client's certificate.
    Tls {
        /// `host:port`.
        address: String,
        /// The folder of `ca.pem`, `cert.pem` and `key.pem`.
        certificates: PathBuf,
    },
}

/// Whether a socket lies at `path`; `None` where nothing does.
pub(super) fn is_socket(path: &Path) -> Option<bool> {
    let metadata = fs_err::metadata(path).ok()?;
    Some(metadata.file_type().is_socket())
}
