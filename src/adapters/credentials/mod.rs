//! Registry credentials, as docker and podman store them.
//!
//! The first of these that has a credential for the repository is used: `DOCKER_AUTH_CONFIG` (its content),
//! `REGISTRY_AUTH_FILE`, docker's `config.json`, podman's `auth.json` of the session, podman's `auth.json` in the home
//! folder.
//!
//! The files are read by our own code instead of `docker_credential`. That crate prefers an entry of the file to
//! `credsStore`, where docker asks the store first, and it does not read `DOCKER_AUTH_CONFIG`.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{
        DecodePaddingMode,
        general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE},
    },
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    code::Code,
    image::Repository,
    project::place::{Defect, Place},
};

mod helper;

pub use helper::HelperFault;

/// The key of Docker Hub in credential stores.
const HUB_SERVER: &str = "https://index.docker.io/v1/";

/// How a client authenticates at a registry; `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// No credential is stored for the registry.
    Anonymous,
    /// A user and a password or access token.
    Basic {
        /// The user's name.
        username: String,
        /// The secret.
        password: String,
    },
    /// A token that the registry's token server turns into a short-lived one.
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => formatter.write_str("Anonymous"),
            Self::Basic { username, .. } => write!(formatter, "Basic({username}, ***)"),
            Self::IdentityToken(_) => formatter.write_str("IdentityToken(***)"),
        }
    }
}

/// Why the credentials for a registry cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file that docker or podman could not read either.
    #[error(transparent)]
    Malformed(Defect),
    /// A file cannot be read from the disk.
    #[error("the credentials in {} cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An entry of a file does not hold a user and a password.
    #[error("{}: the entry `{key}` is not the base64 text of a user and a password", file.display())]
    Entry {
        /// The file.
        file: PathBuf,
        /// Its key in `auths`.
        key: String,
    },
    /// A credential helper failed.
    #[error("`docker-credential-{helper}`, which {} names for `{server}`, {fault}", file.display())]
    Helper {
        /// Its name without `docker-credential-`.
        helper: String,
        /// The server that it was asked for.
        server: String,
        /// The file that names the helper.
        file: PathBuf,
        /// What went wrong.
        fault: HelperFault,
    },
}

impl CredentialsError {
    /// The error code.
    #[must_use]
    pub fn code(&self) -> Code {
        Code::E401
    }

    /// What to type.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Malformed(defect) => defect.hint.clone(),
            Self::Unreadable { file, .. } if file.is_dir() => {
                Some(format!("{} is a folder: remove it", file.display()))
            }
            Self::Unreadable { file, .. } => Some(format!(
                "make it yours: `sudo chown \"$USER\" {}`",
                file.display()
            )),
            Self::Entry { key, .. } => Some(format!("run `docker login {key}` again")),
            Self::Helper {
                helper,
                server,
                file,
                fault,
            } => {
                let file = file.display();
                let before = match fault {
                    HelperFault::Missing => format!("install `docker-credential-{helper}`, or "),
                    _ => format!("run `docker login {server}` again, or "),
                };
                Some(format!(
                    "{before}take `{helper}` out of {file} and run `docker login {server}`"
                ))
            }
        }
    }
}

/// The credentials of this machine. Helpers are run when they are needed, and once for each server.
#[derive(Debug, Default)]
pub struct Credentials {
    files: Vec<CredentialsFile>,
    /// The `PATH` on which helpers are looked up, if it is not the process's own.
    search_path: Option<OsString>,
    answers: Mutex<BTreeMap<(String, String), Option<Credential>>>,
}

#[derive(Debug)]
struct CredentialsFile {
    file: PathBuf,
    /// Whether the file is docker's: docker uses an entry for a path of a host for the whole host.
    by_docker: bool,
    content: Content,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    auths: Option<BTreeMap<String, Option<StoredEntry>>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
struct StoredEntry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl fmt::Debug for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.auths.iter().flatten().map(|(key, _)| key).collect();
        write!(
            formatter,
            "Content({keys:?}, {:?}, {:?})",
            self.cred_helpers, self.creds_store
        )
    }
}

impl Credentials {
    /// Reads the files of docker and podman; missing files are skipped.
    ///
    /// # Errors
    /// A file is malformed or unreadable.
    #[expect(
        clippy::disallowed_methods,
        reason = "an adapter reads the environment"
    )]
    pub fn load() -> Result<Self, CredentialsError> {
        Self::read(&|name| std::env::var_os(name))
    }

    fn read(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, CredentialsError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let folder = |name: &str| set(name).map(PathBuf::from);
        let home = folder("HOME");
        let docker = folder("DOCKER_CONFIG").or_else(|| Some(home.as_ref()?.join(".docker")));
        let session = folder("XDG_RUNTIME_DIR");
        let config = folder("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
        let files = [
            (folder("REGISTRY_AUTH_FILE"), false),
            (docker.map(|folder| folder.join("config.json")), true),
            (
                session.map(|folder| folder.join("containers/auth.json")),
                false,
            ),
            (
                config.map(|folder| folder.join("containers/auth.json")),
                false,
            ),
        ];
        let mut found = Vec::new();
        if let Some(text) = set("DOCKER_AUTH_CONFIG") {
            let file = PathBuf::from("DOCKER_AUTH_CONFIG");
            let content = parse(&file, &text.to_string_lossy())?;
            found.push(CredentialsFile {
                file,
                by_docker: true,
                content,
            });
        }
        for (file, by_docker) in files {
            let Some(file) = file else { continue };
            if let Some(text) = read_if_there(&file)? {
                let content = parse(&file, &text)?;
                found.push(CredentialsFile {
                    file,
                    by_docker,
                    content,
                });
            }
        }
        Ok(Self {
            files: found,
            ..Self::default()
        })
    }

    /// The credential for a repository. Keys match by whole path components, never by a part of one.
    ///
    /// # Errors
    /// A helper failed, or the entry for the repository is malformed.
    pub fn of(&self, repository: &Repository) -> Result<Credential, CredentialsError> {
        for file in &self.files {
            if let Some(credential) = self.of_helper(file, repository)? {
                return Ok(credential);
            }
            if let Some(credential) = file.of_entries(repository)? {
                return Ok(credential);
            }
        }
        Ok(Credential::Anonymous)
    }

    fn of_helper(
        &self,
        file: &CredentialsFile,
        repository: &Repository,
    ) -> Result<Option<Credential>, CredentialsError> {
        let server = server(&repository.registry);
        let Some(helper) = file.helper(&repository.registry) else {
            return Ok(None);
        };
        let question = (helper.to_owned(), server.to_owned());
        // Locked while the helper runs: it may ask for a passphrase, which must happen only once.
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = answers.get(&question) {
            return Ok(answer.clone());
        }
        let answer = helper::get(helper, server, self.search_path.as_deref()).map_err(|fault| {
            CredentialsError::Helper {
                helper: helper.to_owned(),
                server: server.to_owned(),
                file: file.file.clone(),
                fault,
            }
        })?;
        answers.insert(question, answer.clone());
        Ok(answer)
    }

    #[cfg(test)]
    pub(crate) fn of_text(text: &str) -> Self {
        let file = PathBuf::from("config.json");
        let content = parse(&file, text).unwrap();
        Self {
            files: vec![CredentialsFile {
                file,
                by_docker: true,
                content,
            }],
            ..Self::default()
        }
    }
}

impl CredentialsFile {
    /// The helper for a registry; an empty name in `credHelpers` means none.
    fn helper(&self, registry: &str) -> Option<&str> {
        let own = self.content.cred_helpers.iter().flatten();
        let own = own
            .into_iter()
            .find(|(key, _)| split_key(key).0 == registry);
        let helper = match own {
            Some((_, helper)) => Some(helper),
            None => self.content.creds_store.as_ref(),
        };
        helper
            .map(String::as_str)
            .filter(|helper| !helper.is_empty())
    }

    fn of_entries(&self, repository: &Repository) -> Result<Option<Credential>, CredentialsError> {
        let entries = self.content.auths.iter().flatten();
        let entries = entries.filter_map(|(key, entry)| Some((key, entry.as_ref()?)));
        let ranked =
            entries.filter_map(|(key, entry)| Some((self.rank(key, repository)?, key, entry)));
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_by_key(|(rank, ..)| std::cmp::Reverse(*rank));
        for (_, key, entry) in ranked {
            if let Some(credential) = self.credential(key, entry)? {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }

    /// How specific a matching key is: the more path components, the higher the rank.
    fn rank(&self, key: &str, repository: &Repository) -> Option<usize> {
        let (host, path) = split_key(key);
        if host != repository.registry {
            return None;
        }
        if path.is_empty() {
            return Some(1);
        }
        let rest = repository.path.strip_prefix(path);
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Some(2 + path.matches('/').count());
        }
        self.by_docker.then_some(0)
    }

    fn credential(
        &self,
        key: &str,
        entry: &StoredEntry,
    ) -> Result<Option<Credential>, CredentialsError> {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = filled(&entry.identitytoken) {
            return Ok(Some(Credential::IdentityToken(token)));
        }
        if let Some(auth) = filled(&entry.auth) {
            let wrong = || CredentialsError::Entry {
                file: self.file.clone(),
                key: key.to_owned(),
            };
            return decode(&auth).map(Some).ok_or_else(wrong);
        }
        let (Some(username), Some(password)) = (filled(&entry.username), filled(&entry.password))
        else {
            return Ok(None);
        };
        Ok(Some(basic(username, password)))
    }
}

fn decode(auth: &str) -> Option<Credential> {
    let padding =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&STANDARD, padding)
        .decode(auth.trim())
        .ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (username, password) = text.split_once(':')?;
    Some(basic(
        username.to_owned(),
        password.trim_matches('\0').to_owned(),
    ))
}

/// In helpers and files, this user name means that the password is an identity token.
fn basic(username: String, password: String) -> Credential {
    if username == "<token>" {
        Credential::IdentityToken(password)
    } else {
        Credential::Basic { username, password }
    }
}

/// A key's host and path in the form that a repository has; `https://HOST/v1/` means all of HOST.
fn split_key(key: &str) -> (&str, &str) {
    let (rest, whole_host) = match key.split_once("://") {
        Some((_, rest)) => (rest, true),
        None => (key, false),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    let path = if whole_host || matches!(path, "v1" | "v2") {
        ""
    } else {
        path
    };
    match host {
        "index.docker.io" | "registry-1.docker.io" => ("docker.io", path),
        host => (host, path),
    }
}

/// The key under which a registry's credentials are stored.
fn server(registry: &str) -> &str {
    if registry == "docker.io" {
        HUB_SERVER
    } else {
        registry
    }
}

fn read_if_there(file: &Path) -> Result<Option<String>, CredentialsError> {
    match fs_err::read(file) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(source) => Err(CredentialsError::Unreadable {
            file: file.to_owned(),
            source,
        }),
    }
}

/// Parses a file without serde's messages, which would quote the value and perhaps a password.
fn parse(file: &Path, text: &str) -> Result<Content, CredentialsError> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Ok(Content::default());
    }
    serde_json::from_str(text).map_err(|error| {
        let message = match error.classify() {
            serde_json::error::Category::Data => "a value of another kind is wanted here",
            serde_json::error::Category::Eof => "the JSON text ends too early",
            _ => "this is not JSON",
        };
        let place = Place {
            file: file.to_owned(),
            line: error.line(),
            column: error.column().max(1),
        };
        let hint = "correct it, or move the file away and run `docker login` again";
        CredentialsError::Malformed(Defect::new(Code::E401, place, message).hint(hint))
    })
}

/// The value of the header `X-Registry-Auth`, by which a Docker daemon gets a credential.
///
/// The daemon decodes the URL-safe alphabet, and treats a value that it cannot decode as no credential.
#[must_use]
pub fn registry_auth(credential: &Credential, registry: &str) -> String {
    let server = server(registry);
    let value = match credential {
        Credential::Anonymous => json!({}),
        Credential::Basic { username, password } => {
            json!({"username": username, "password": password, "serveraddress": server})
        }
        Credential::IdentityToken(token) => {
            json!({"identitytoken": token, "serveraddress": server})
        }
    };
    URL_SAFE.encode(value.to_string())
}

#[cfg(test)]
mod tests;
