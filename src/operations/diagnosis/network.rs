//! Proxies and certificates.

use super::finding::Finding;
use crate::{adapters::registry::ProxyVariable, code::Code};

/// The variables that decide about proxies.
pub(super) fn of_proxies(variables: &[ProxyVariable]) -> Finding {
    const CHECK: &str = "proxy";
    let wrong = variables
        .iter()
        .find_map(|variable| Some((variable, variable.problem.as_ref()?)));
    if let Some((variable, problem)) = wrong {
        let text = format!("{}={}: {problem}", variable.name, variable.value);
        return Finding::bad(CHECK, Code::E506, text).run(format!("unset {}", variable.name));
    }
    let shown: Vec<String> = variables
        .iter()
        .map(|variable| format!("{}={}", variable.name, variable.value))
        .collect();
    if shown.is_empty() {
        return Finding::good(CHECK, "none");
    }
    Finding::good(CHECK, shown.join(" "))
}

/// What is known of the certificates that are trusted.
pub(super) struct CertificateFacts {
    /// The number of those that `ca` and `certs.d` name, or which file cannot be used.
    pub(super) named: Result<usize, String>,
    /// The file of the variable `SSL_CERT_FILE`, and whether it is there.
    pub(super) system: Option<(String, bool)>,
}

/// The certificates that are trusted.
pub(super) fn of_certificates(facts: &CertificateFacts) -> Finding {
    const CHECK: &str = "certificates";
    if let Some((file, false)) = &facts.system {
        let text = format!("SSL_CERT_FILE names {file}, which is not there");
        return Finding::bad(CHECK, Code::E504, text).run("unset SSL_CERT_FILE");
    }
    let system = match &facts.system {
        Some((file, _)) => format!("those in {file}"),
        None => "the system's".to_owned(),
    };
    match &facts.named {
        Ok(0) => Finding::good(CHECK, format!("{system} are trusted")),
        Ok(count) => Finding::good(
            CHECK,
            format!("{system} are trusted, and {count} of `ca` and certs.d"),
        ),
        Err(because) => Finding::bad(CHECK, Code::E504, because.clone())
            .hint("let `ca` in sparkpack.toml, or the file in certs.d, hold PEM certificates"),
    }
}
