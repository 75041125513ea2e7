//! Package indexes: pip's variables and configuration, translated for both installers.
//!
//! Only settings for downloads are used. Everything else that a user may have configured (a target, constraints, a
//! preference for pre-releases) would make the result depend on the machine.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    encoded::file_url,
    origins::{OpenIndex, OpenOrigins, UnsetVariable},
};
use crate::project::requirements::PackageOrigins;

/// The settings of pip that are used.
const TAKEN: [&str; 14] = [
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "cert",
    "client-cert",
    "trusted-host",
    "proxy",
    "timeout",
    "default-timeout",
    "retries",
    "keyring-provider",
    "cache-dir",
    "no-cache-dir",
];

/// The variables of uv that are kept; all others that begin with `UV_` are removed.
const UV_KEPT: [&str; 20] = [
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_NO_INDEX",
    "UV_KEYRING_PROVIDER",
    "UV_INSECURE_HOST",
    "UV_OFFLINE",
    "UV_CONFIG_FILE",
    "UV_NO_CONFIG",
    "UV_CACHE_DIR",
    "UV_NO_CACHE",
    "UV_SYSTEM_CERTS",
    "UV_NATIVE_TLS",
    "UV_HTTP_TIMEOUT",
    "UV_HTTP_RETRIES",
    "UV_CREDENTIALS_DIR",
    "UV_PYTHON_DOWNLOADS",
    "UV_PYTHON_INSTALL_DIR",
    "UV_PYTHON_INSTALL_MIRROR",
];

/// Where packages are downloaded from.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// pip's settings by their names.
    pub(super) settings: BTreeMap<&'static str, String>,
    /// The variables of the process.
    variables: BTreeMap<String, String>,
    /// Whether uv has index settings of its own, which then replace pip's.
    uv_is_configured: bool,
    /// `[mirrors] python`: replaces any other index.
    mirror: Option<String>,
    /// The working folder, to which paths in the settings are relative.
    folder: PathBuf,
    /// The indexes and wheels that the requirements name; no index with a mirror.
    pub(super) origins: OpenOrigins,
    /// Whether no other index and no folder may be asked, whatever the variables of the process say.
    is_alone: bool,
}

impl Index {
    /// Reads pip's configuration files and variables.
    pub(super) fn of(
        variables: BTreeMap<String, String>,
        folder: PathBuf,
        mirror: Option<String>,
        certificates: Option<&Path>,
    ) -> Self {
        let mut merged: BTreeMap<(String, String), String> = BTreeMap::new();
        for file in pip_files(&variables) {
            if let Ok(text) = fs_err::read_to_string(file) {
                merged.extend(parse_ini(&text));
            }
        }
        let mut settings = BTreeMap::new();
        for name in TAKEN {
            let variable = format!("PIP_{}", name.to_ascii_uppercase().replace('-', "_"));
            let of = |section: &str| merged.get(&(section.to_owned(), name.to_owned()));
            let set = variables
                .get(&variable)
                .or_else(|| of("install"))
                .or_else(|| of("global"));
            if let Some(value) = set.filter(|value| !value.trim().is_empty()) {
                settings.insert(name, value.trim().to_owned());
            }
        }
        if let Some(bundle) = certificates {
            settings.insert("cert", folder.join(bundle).to_string_lossy().into_owned());
        }
        Self {
            uv_is_configured: uv_is_configured(&variables),
            settings,
            variables,
            mirror,
            folder,
            origins: OpenOrigins::default(),
            is_alone: false,
        }
    }

    /// The same for packages from these places.
    ///
    /// # Errors
    /// A variable that a URL names is not set.
    pub(super) fn with(&self, origins: &PackageOrigins) -> Result<Self, UnsetVariable> {
        let mut index = self.clone();
        if self.mirror.is_none() {
            index.origins = OpenOrigins::of(origins, &self.variables)?;
        } else {
            index.origins.add_wheels(origins, &self.variables)?;
        }
        Ok(index)
    }

    /// The further indexes for an installer: all of them where `any` may serve a package, since its digest is known, or
    /// else those that are not kept to packages that name them.
    fn further(&self, any: bool) -> impl Iterator<Item = &OpenIndex> {
        let others = self.origins.others.iter();
        others.filter(move |index| any || !index.is_explicit)
    }

    /// Whether a variable of this process must not reach an installer.
    pub(super) fn is_removed(variable: &str) -> bool {
        let kept = |name: &str| UV_KEPT.contains(&name) || name.starts_with("UV_INDEX");
        variable.starts_with("PIP_")
            || (variable.starts_with("UV_") && !kept(variable))
            || ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV"].contains(&variable)
    }

    /// The indexes that are asked besides the main one.
    pub(super) fn extra(&self, for_uv: bool) -> Vec<String> {
        let of_uv = ["UV_INDEX", "UV_EXTRA_INDEX_URL"];
        let mut of_uv = of_uv
            .iter()
            .filter_map(|name| self.variables.get(*name))
            .peekable();
        let urls: Vec<&String> = if for_uv && of_uv.peek().is_some() {
            of_uv.collect()
        } else {
            self.settings.get("extra-index-url").into_iter().collect()
        };
        let urls = urls.into_iter().flat_map(|urls| urls.split_whitespace());
        // uv allows for a name before the URL.
        let bare = urls.map(|url| match url.split_once('=') {
            Some((name, url)) if !name.contains("://") => url,
            _ => url,
        });
        let others = self.further(false).map(|index| index.url.as_str());
        bare.chain(others).map(str::to_owned).collect()
    }

    /// The main index; `None` if it is the installer's own.
    pub(super) fn main(&self, for_uv: bool) -> Option<String> {
        let own = ["UV_DEFAULT_INDEX", "UV_INDEX_URL"];
        let own = own.iter().find_map(|name| self.variables.get(*name));
        let own = own.filter(|_| for_uv && self.mirror.is_none() && self.origins.main.is_none());
        own.cloned().or_else(|| self.index_url().map(str::to_owned))
    }

    /// The same with this index alone.
    pub(super) fn alone(&self, url: Option<&str>) -> Self {
        let mut alone = self.clone();
        let others = ["index-url", "extra-index-url", "find-links", "no-index"];
        alone.settings.retain(|name, _| !others.contains(name));
        alone.variables.retain(|name, _| {
            !name.starts_with("UV_INDEX")
                && !["UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"]
                    .contains(&name.as_str())
        });
        alone.mirror = url.map(str::to_owned);
        alone.origins = OpenOrigins::default();
        alone.uv_is_configured = false;
        alone.is_alone = true;
        alone
    }

    fn index_url(&self) -> Option<&str> {
        self.mirror
            .as_deref()
            .or(self.origins.main.as_deref())
            .or(self.settings.get("index-url").map(String::as_str))
    }

    /// The variables for pip; `any` index may serve a package whose digest is known.
    pub(super) fn for_pip(&self, any: bool) -> Vec<(String, String)> {
        let mut variables = vec![
            // The files have been read already: a `user = true` in them must not reach pip.
            ("PIP_CONFIG_FILE".to_owned(), "/dev/null".to_owned()),
            ("PIP_NO_INPUT".to_owned(), "1".to_owned()),
            ("PIP_DISABLE_PIP_VERSION_CHECK".to_owned(), "1".to_owned()),
            ("PIP_ROOT_USER_ACTION".to_owned(), "ignore".to_owned()),
            ("PYTHONUTF8".to_owned(), "1".to_owned()),
        ];
        for (name, value) in &self.settings {
            if !["index-url", "extra-index-url", "find-links", "no-index"].contains(name) {
                variables.push((
                    format!("PIP_{}", name.to_ascii_uppercase().replace('-', "_")),
                    value.clone(),
                ));
            }
        }
        variables.extend(
            self.index_url()
                .map(|url| ("PIP_INDEX_URL".to_owned(), url.to_owned())),
        );
        let configured = self.settings.get("extra-index-url").map(String::as_str);
        let further = self.further(any).map(|index| index.url.as_str());
        let further: Vec<&str> = configured.into_iter().chain(further).collect();
        if !further.is_empty() {
            variables.push(("PIP_EXTRA_INDEX_URL".to_owned(), further.join(" ")));
        }
        variables
    }

    /// The variables that take uv's own indexes away from it, if only one may be asked: the process hands its own on.
    fn others_off(&self) -> Vec<(String, String)> {
        const OWN: [&str; 5] = [
            "UV_INDEX",
            "UV_EXTRA_INDEX_URL",
            "UV_FIND_LINKS",
            "UV_DEFAULT_INDEX",
            "UV_INDEX_URL",
        ];
        if !self.is_alone {
            return Vec::new();
        }
        let off = OWN.iter().map(|name| ((*name).to_owned(), String::new()));
        let no_files = ("UV_NO_CONFIG".to_owned(), "1".to_owned());
        off.chain([no_files]).collect()
    }

    /// The variables for uv; `any` index may serve a package whose digest is known. pip's settings are used only if uv has none of its own.
    pub(super) fn for_uv(&self, any: bool) -> Vec<(String, String)> {
        let mut variables = self.others_off();
        let mut add = |name: &str, value: &str| variables.push((name.to_owned(), value.to_owned()));
        let set = |names: &[&str]| names.iter().any(|name| self.variables.contains_key(*name));
        if let Some(url) = self.mirror.as_deref().or(self.origins.main.as_deref()) {
            add("UV_DEFAULT_INDEX", url);
        }
        let own_index =
            self.uv_is_configured || set(&["UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX"]);
        if !own_index {
            if let Some(url) = self.index_url() {
                add("UV_DEFAULT_INDEX", url);
            }
            if let Some(urls) = self.settings.get("extra-index-url") {
                add("UV_EXTRA_INDEX_URL", urls);
            }
        }
        for (setting, variable) in [
            ("trusted-host", "UV_INSECURE_HOST"),
            ("keyring-provider", "UV_KEYRING_PROVIDER"),
            ("client-cert", "SSL_CLIENT_CERT"),
            ("proxy", "ALL_PROXY"),
            ("timeout", "UV_HTTP_TIMEOUT"),
            ("default-timeout", "UV_HTTP_TIMEOUT"),
            ("retries", "UV_HTTP_RETRIES"),
        ] {
            if let (Some(value), false) = (self.settings.get(setting), set(&[variable])) {
                add(variable, value);
            }
        }
        let named = self.further(any);
        let mut further: Vec<String> = named
            .map(|index| format!("{}={}", index.name, index.url))
            .collect();
        if !further.is_empty() {
            further.extend(self.variables.get("UV_INDEX").cloned());
            add("UV_INDEX", &further.join(" "));
            if any {
                // An index that has another file of the same version must not hide the one with the known digest.
                add("UV_INDEX_STRATEGY", "unsafe-best-match");
            }
        }
        let own_certificates = set(&[
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "UV_SYSTEM_CERTS",
            "UV_NATIVE_TLS",
        ]);
        match self.settings.get("cert") {
            Some(bundle) if !set(&["SSL_CERT_FILE"]) => add("SSL_CERT_FILE", bundle),
            // As pip does: a company's certificate is in the system's store, not among those that uv contains.
            None if !own_certificates && system_has_certificates() => {
                add("UV_SYSTEM_CERTS", "true");
            }
            _ => {}
        }
        variables
    }

    /// The lines of a requirements file that name other places to search; for uv only if it has no such setting of its
    /// own.
    ///
    /// Offline these are only folders on this machine. uv also has its cache, but pip's cannot be used offline.
    pub(super) fn lines(&self, for_uv: bool, offline: bool) -> Vec<String> {
        let own = for_uv
            && (self.uv_is_configured
                || self.variables.contains_key("UV_FIND_LINKS")
                || self.variables.contains_key("UV_NO_INDEX"));
        if own {
            return Vec::new();
        }
        let near = |place: &&str| !offline || !place.contains("://") || place.starts_with("file:");
        let mut lines = Vec::new();
        if let Some(places) = self.settings.get("find-links") {
            let places = places.split_whitespace().filter(near).map(|place| {
                if place.contains("://") {
                    place.to_owned()
                } else {
                    file_url(&self.folder.join(place))
                }
            });
            lines.extend(places.map(|place| format!("--find-links {place}")));
        }
        let no = ["0", "false", "no", "off", "n", "f"];
        let set = self.settings.get("no-index");
        let is_set = set.is_some_and(|value| !no.contains(&value.to_ascii_lowercase().as_str()));
        if is_set || (offline && !for_uv) {
            lines.push("--no-index".to_owned());
        }
        lines
    }

    /// A URL that an installer tells without a login, with that of the index on the same host.
    pub(super) fn with_login(&self, url: &str) -> String {
        let parts = |url: &str| {
            let (scheme, rest) = url.split_once("://")?;
            let host = rest.split('/').next()?;
            Some((format!("{scheme}://"), host.to_owned()))
        };
        let Some((scheme, host)) = parts(url).filter(|(_, host)| !host.contains('@')) else {
            return url.to_owned();
        };
        let indexes = self.main(true).into_iter().chain(self.extra(true));
        let logins = indexes.filter_map(|index| {
            let (of, host_of_index) = parts(&index)?;
            let (login, there) = host_of_index.rsplit_once('@')?;
            (of == scheme && there == host).then(|| login.to_owned())
        });
        match logins.into_iter().next() {
            Some(login) => format!("{scheme}{login}@{}", &url[scheme.len()..]),
            None => url.to_owned(),
        }
    }

    /// The lines of the configuration that uv reads besides variables.
    pub(super) fn uv_configuration(&self) -> Vec<String> {
        if self.is_alone || self.variables.contains_key("UV_NO_CONFIG") {
            return Vec::new();
        }
        let files = uv_files(&self.variables);
        let text = files
            .iter()
            .find_map(|file| fs_err::read_to_string(file).ok());
        text.iter()
            .flat_map(|text| text.lines().map(str::to_owned))
            .collect()
    }

    /// The passwords that must not be shown.
    pub(super) fn secrets(&self) -> Vec<String> {
        let urls = self
            .variables
            .values()
            .chain(self.settings.values())
            .chain(&self.mirror);
        let mut secrets = Vec::new();
        for url in urls.flat_map(|value| value.split_whitespace()) {
            let web = url.starts_with("http");
            let rest = url
                .split_once("://")
                .filter(|_| web)
                .map_or("", |(_, rest)| rest);
            if let Some((user, _)) = rest.rsplit_once('@') {
                let secret = user.split_once(':').map_or(user, |(_, password)| password);
                secrets.push(secret.to_owned());
            }
        }
        secrets.extend(
            self.variables
                .iter()
                .filter(|(name, _)| {
                    let of_index = name.starts_with("UV_INDEX_") || name.starts_with("POETRY_HTTP");
                    of_index && name.ends_with("_PASSWORD")
                })
                .map(|(_, value)| value.clone()),
        );
        secrets.retain(|secret| secret.len() > 3);
        secrets.sort();
        secrets.dedup();
        secrets
    }
}

/// pip's configuration files; later ones override earlier ones.
fn pip_files(variables: &BTreeMap<String, String>) -> Vec<PathBuf> {
    let named = variables.get("PIP_CONFIG_FILE").map(PathBuf::from);
    if named.as_deref() == Some(Path::new("/dev/null")) {
        return Vec::new();
    }
    let mut files = Vec::new();
    let folders = variables
        .get("XDG_CONFIG_DIRS")
        .map_or("/etc/xdg", String::as_str);
    files.extend(
        folders
            .split(':')
            .rev()
            .map(|folder| Path::new(folder).join("pip/pip.conf")),
    );
    files.push(PathBuf::from("/Library/Application Support/pip/pip.conf"));
    files.push(PathBuf::from("/etc/pip.conf"));
    if let Some(home) = variables.get("HOME").map(Path::new) {
        files.push(home.join(".pip/pip.conf"));
        let configuration = variables.get("XDG_CONFIG_HOME");
        let configuration = configuration.map_or_else(|| home.join(".config"), PathBuf::from);
        files.push(configuration.join("pip/pip.conf"));
        files.push(home.join("Library/Application Support/pip/pip.conf"));
    }
    if let Some(environment) = variables.get("VIRTUAL_ENV") {
        files.push(Path::new(environment).join("pip.conf"));
    }
    files.extend(named);
    files
}

/// The values of an INI file by section and key; keys are spelled as pip's options.
fn parse_ini(text: &str) -> BTreeMap<(String, String), String> {
    let mut values: BTreeMap<(String, String), String> = BTreeMap::new();
    let (mut section, mut key) = (String::new(), None::<String>);
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let (true, Some(key)) = (line.starts_with(char::is_whitespace), &key) {
            let value = values.entry((section.clone(), key.clone())).or_default();
            let joined = format!("{value} {trimmed}");
            joined.trim().clone_into(value);
        } else if let Some(name) = trimmed
            .strip_prefix('[')
            .and_then(|open| open.strip_suffix(']'))
        {
            name.clone_into(&mut section);
            key = None;
        } else if let Some((name, value)) = trimmed.split_once(['=', ':']) {
            let name = name.trim().to_ascii_lowercase().replace('_', "-");
            let name = name.trim_start_matches("--").to_owned();
            values.insert((section.clone(), name.clone()), value.trim().to_owned());
            key = Some(name);
        }
    }
    values
}

fn uv_is_configured(variables: &BTreeMap<String, String>) -> bool {
    if variables.contains_key("UV_NO_CONFIG") {
        return false;
    }
    variables.contains_key("UV_CONFIG_FILE")
        || uv_files(variables).iter().any(|file| file.is_file())
}

/// uv's configuration files; of several the first counts most.
fn uv_files(variables: &BTreeMap<String, String>) -> Vec<PathBuf> {
    if let Some(named) = variables.get("UV_CONFIG_FILE") {
        return vec![PathBuf::from(named)];
    }
    let home = variables
        .get("HOME")
        .map(|home| Path::new(home).join(".config"));
    let user = variables.get("XDG_CONFIG_HOME").map(PathBuf::from).or(home);
    let user = user.map(|folder| folder.join("uv/uv.toml"));
    let of_system = PathBuf::from("/etc/uv/uv.toml");
    user.into_iter().chain([of_system]).collect()
}

fn system_has_certificates() -> bool {
    let known = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    known.iter().any(|file| Path::new(file).exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{place::Place, requirements::PackageIndex};

    fn index(variables: &[(&str, &str)], mirror: Option<&str>) -> Index {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Index::of(
            variables.collect(),
            PathBuf::from("/work here"),
            mirror.map(str::to_owned),
            None,
        )
    }

    fn value(variables: &[(String, String)], name: &str) -> Option<String> {
        let found = variables.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }

    fn named(name: &str, url: &str, is_explicit: bool) -> PackageIndex {
        PackageIndex {
            name: name.to_owned(),
            url: url.to_owned(),
            is_explicit,
            place: Place::of_line("pyproject.toml", 1),
        }
    }

    #[test]
    fn an_index_of_some_packages_serves_others_only_by_their_digests() {
        let origins = PackageOrigins {
            main: None,
            others: vec![
                named("own", "https://own.example", true),
                named("more", "https://more.example", false),
            ],
            direct: Vec::new(),
        };
        let variables = [NO_FILES, ("PIP_EXTRA_INDEX_URL", "https://set.example")];
        let read = index(&variables, None).with(&origins).unwrap();
        let of_pip = |any: bool| value(&read.for_pip(any), "PIP_EXTRA_INDEX_URL").unwrap();
        assert_eq!(of_pip(false), "https://set.example https://more.example");
        assert_eq!(
            of_pip(true),
            "https://set.example https://own.example https://more.example"
        );
        let of_uv = |any: bool| value(&read.for_uv(any), "UV_INDEX").unwrap();
        assert_eq!(of_uv(false), "more=https://more.example");
        assert_eq!(
            of_uv(true),
            "own=https://own.example more=https://more.example"
        );
        assert_eq!(value(&read.for_uv(false), "UV_INDEX_STRATEGY"), None);
        // A mirror stands for all of them.
        let read = index(&variables, Some("https://mirror.example"))
            .with(&origins)
            .unwrap();
        assert_eq!(value(&read.for_uv(true), "UV_INDEX"), None);
    }

    const NO_FILES: (&str, &str) = ("PIP_CONFIG_FILE", "/dev/null");

    #[test]
    fn settings_of_pip_reach_uv_unless_it_has_its_own() {
        let pip = [
            NO_FILES,
            ("PIP_INDEX_URL", "https://u:canary@i.example/simple"),
            ("PIP_CERT", "/ca.pem"),
        ];
        let read = index(&pip, None);
        let url = Some("https://u:canary@i.example/simple".to_owned());
        assert_eq!(value(&read.for_uv(false), "UV_DEFAULT_INDEX"), url);
        assert_eq!(
            value(&read.for_uv(false), "SSL_CERT_FILE").as_deref(),
            Some("/ca.pem")
        );
        assert_eq!(value(&read.for_pip(false), "PIP_INDEX_URL"), url);
        assert_eq!(read.secrets(), ["canary"]);
        let own = index(
            &[pip[0], pip[1], ("UV_INDEX_URL", "https://own.example/")],
            None,
        );
        assert_eq!(value(&own.for_uv(false), "UV_DEFAULT_INDEX"), None);
    }

    #[test]
    fn a_mirror_counts_more_than_the_file_and_the_file_more_than_the_variable() {
        let variables = [
            NO_FILES,
            ("PIP_INDEX_URL", "https://v.example"),
            ("UV_DEFAULT_INDEX", "https://w.example"),
        ];
        let origins = PackageOrigins {
            main: Some(named("main", "https://file.example", false)),
            ..PackageOrigins::default()
        };
        for (mirror, wanted) in [
            (Some("https://mirror.example"), "https://mirror.example"),
            (None, "https://file.example"),
        ] {
            let read = index(&variables, mirror).with(&origins).unwrap();
            assert_eq!(
                value(&read.for_pip(false), "PIP_INDEX_URL").as_deref(),
                Some(wanted)
            );
            assert_eq!(
                value(&read.for_uv(false), "UV_DEFAULT_INDEX").as_deref(),
                Some(wanted)
            );
        }
    }

    #[test]
    fn places_to_look_become_lines() {
        let read = index(
            &[
                NO_FILES,
                ("PIP_FIND_LINKS", "wheels https://w.example/x"),
                ("PIP_NO_INDEX", "1"),
            ],
            None,
        );
        let wanted = [
            "--find-links file:///work%20here/wheels",
            "--find-links https://w.example/x",
            "--no-index",
        ];
        assert_eq!(read.lines(true, false), wanted);
        assert_eq!(
            index(&[NO_FILES, ("PIP_NO_INDEX", "0")], None).lines(false, false),
            [""; 0]
        );
    }

    #[test]
    fn the_configuration_file_counts_less_than_the_variable() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pip.conf");
        let text = "[global]\nindex_url = https://a.example\nuser = true\nfind-links =\n  /a\n  /b\n\
                    [install]\n# x\nindex-url: https://b.example\n";
        fs_err::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let read = index(&[("PIP_CONFIG_FILE", file), ("HOME", "/nowhere")], None);
        assert_eq!(
            value(&read.for_pip(false), "PIP_INDEX_URL").as_deref(),
            Some("https://b.example")
        );
        assert_eq!(
            read.lines(false, false),
            ["--find-links file:///a", "--find-links file:///b"]
        );
        assert_eq!(value(&read.for_pip(false), "PIP_USER"), None);
        let read = index(
            &[
                ("PIP_CONFIG_FILE", file),
                ("PIP_INDEX_URL", "https://v.example"),
            ],
            None,
        );
        assert_eq!(
            value(&read.for_pip(false), "PIP_INDEX_URL").as_deref(),
            Some("https://v.example")
        );
    }

    #[test]
    fn what_would_change_the_result_is_taken_away() {
        for name in [
            "PIP_TARGET",
            "PIP_CONSTRAINT",
            "UV_CONSTRAINT",
            "UV_EXCLUDE_NEWER",
            "PYTHONPATH",
        ] {
            assert!(Index::is_removed(name), "{name}");
        }
        for name in [
            "UV_INDEX",
            "UV_INDEX_MINE_PASSWORD",
            "UV_CACHE_DIR",
            "PATH",
            "HTTPS_PROXY",
        ] {
            assert!(!Index::is_removed(name), "{name}");
        }
    }
}
