//! The certificates of a single registry, in the folders where docker and podman look for them: `certs.d/HOST:PORT`.
//!
//! Files `*.crt` hold authorities. `NAME.cert` is this machine's own certificate for the registry, and `NAME.key` its
//! key. Docker reads `/etc/docker/certs.d`, and without root the same below `~/.config`; podman and skopeo read
//! `/etc/containers/certs.d` as well. Here all of them count: who may write there has decided whom to trust.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{Error, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    Error as TlsError, InconsistentKeys, RootCertStore,
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::address::api_host;

/// The name of the folders, each of which has a folder for each registry.
const FOLDER: &str = "certs.d";

/// The folders `certs.d` of this machine and user.
#[expect(
    clippy::disallowed_methods,
    reason = "an adapter reads the environment"
)]
#[must_use]
pub fn certificate_folders() -> Vec<PathBuf> {
    folders(&|name| std::env::var_os(name))
}

fn folders(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let path = |name| {
        let value = variable(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    let config = path("HOME").map(|home| home.join(".config"));
    let dockers = path("XDG_CONFIG_HOME").or_else(|| config.clone());
    let of_user = [
        config.map(|config| config.join("containers")),
        dockers.map(|config| config.join("docker")),
    ];
    let of_machine = ["/etc/containers", "/etc/docker"].map(|folder| Some(folder.into()));
    let all = of_user.into_iter().chain(of_machine).flatten();
    all.map(|folder: PathBuf| folder.join(FOLDER)).collect()
}

/// The number of certificates of authorities that are trusted because a file of the user names them: `ca`, and those in
/// `certs.d` for one of these registries.
///
/// # Errors
/// Says which file cannot be used, and why.
pub fn trusted_by_name(ca: Option<&Path>, registries: &[String]) -> Result<usize, String> {
    let mut count = ca.map_or(Ok(0), |file| Ok::<_, String>(authorities(file)?.len()))?;
    let folders = CertificateFolders::new(certificate_folders());
    for registry in registries {
        count += folders.of(api_host(registry))?.authorities.len();
    }
    Ok(count)
}

/// The certificates that count for one registry only.
#[derive(Default)]
pub(super) struct HostCertificates {
    /// Trusted besides those that count for all registries.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// Shown to the registry if it asks for one.
    pub(super) identity: Option<Identity>,
}

/// A certificate of this machine, with those that lead to its authority, and its key.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// The certificates of all registries, each read when it is needed.
pub(super) struct CertificateFolders {
    folders: Vec<PathBuf>,
    known: Mutex<BTreeMap<String, Arc<HostCertificates>>>,
}

impl CertificateFolders {
    pub(super) fn new(folders: Vec<PathBuf>) -> Self {
        Self {
            folders,
            known: Mutex::default(),
        }
    }

    /// The certificates of a registry, which may have a port.
    ///
    /// # Errors
    /// A file is there and cannot be used; says which, and why.
    pub(super) fn of(&self, registry: &str) -> Result<Arc<HostCertificates>, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(certificates) = known.get(registry) {
            return Ok(Arc::clone(certificates));
        }
        let mut certificates = HostCertificates::default();
        for folder in &self.folders {
            certificates.add(&folder.join(registry))?;
        }
        let certificates = Arc::new(certificates);
        known.insert(registry.to_owned(), Arc::clone(&certificates));
        Ok(certificates)
    }
}

impl HostCertificates {
    pub(super) fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.identity.is_none()
    }

    /// Adds the certificates of a folder, if it is there.
    fn add(&mut self, folder: &Path) -> Result<(), String> {
        let files = match files(folder) {
            Ok(files) => files,
            // One that this user may not look into is the daemon's alone.
            Err(error) if is_none_of_ours(error.kind()) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        for file in files {
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => self.authorities.extend(authorities(&file)?),
                Some("cert") if self.identity.is_none() => self.identity = Some(identity(&file)?),
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_none_of_ours(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied
    )
}

/// The files of a folder, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs_err::read_dir(folder)?;
    let files: Result<Vec<PathBuf>, Error> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    let mut files = files?;
    files.sort();
    Ok(files)
}

/// The certificates of authorities in a file, of which there is at least one.
///
/// # Errors
/// Says what is wrong with the file.
pub(super) fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = certificates(file)?;
    for certificate in &certificates {
        let added = RootCertStore::empty().add(certificate.clone());
        added.map_err(|error| not_understood(file, "a certificate", &error))?;
    }
    Ok(certificates)
}

/// The certificates of a file, of which there is at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = fs_err::read(file).map_err(|error| error.to_string())?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!(
            "{} holds no certificate in PEM form",
            file.display()
        )),
    }
}

/// A certificate of this machine with its key, which is in a file beside it.
fn identity(file: &Path) -> Result<Identity, String> {
    let chain = certificates(file)?;
    let key_file = file.with_extension("key");
    let bytes = fs_err::read(&key_file).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_slice(&bytes);
    let key =
        key.map_err(|_| format!("{} holds no private key in PEM form", key_file.display()))?;
    let signing = any_supported_type(&key);
    let signing = signing.map_err(|error| not_understood(&key_file, "a private key", &error))?;
    match CertifiedKey::new(chain.clone(), signing).keys_match() {
        Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => {
            Ok(Identity { chain, key })
        }
        Err(TlsError::InconsistentKeys(_)) => Err(format!(
            "{} is not the key of the certificate in {}",
            key_file.display(),
            file.display()
        )),
        Err(error) => Err(not_understood(file, "a certificate", &error)),
    }
}

fn not_understood(file: &Path, what: &str, error: &TlsError) -> String {
    format!(
        "{} holds {what} that is not understood: {error}",
        file.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_are_those_of_docker_and_podman() {
        let of = |variables: &[(&str, &str)]| {
            let value = |name: &str| {
                let mut all = variables.iter();
                let found = all.find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            };
            let found = folders(&value);
            let texts = found.iter().map(|folder| folder.display().to_string());
            texts.collect::<Vec<_>>()
        };
        let machine = ["/etc/containers/certs.d", "/etc/docker/certs.d"];
        assert_eq!(of(&[]), machine);
        assert_eq!(of(&[("HOME", ""), ("XDG_CONFIG_HOME", "")]), machine);
        let own = of(&[("HOME", "/h")]);
        assert_eq!(
            own[..2],
            ["/h/.config/containers/certs.d", "/h/.config/docker/certs.d"]
        );
        let elsewhere = of(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]);
        assert_eq!(
            elsewhere[..2],
            ["/h/.config/containers/certs.d", "/x/docker/certs.d"]
        );
    }
}
