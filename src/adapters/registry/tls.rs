//! TLS errors in words: why a registry's certificate, or its version of TLS, is not good enough.

use std::time::{Duration, UNIX_EPOCH};

use rustls::{AlertDescription, CertificateError, Error, pki_types::UnixTime};

use super::error::FailureKind;

/// Whether all that is wrong with a server's certificate is that it is an authority's own. That is found only after its
/// dates were found to be right.
pub(super) fn is_authoritys_own(error: &CertificateError) -> bool {
    // The type of the inner error is that of a crate which `rustls` does not hand out.
    matches!(error, CertificateError::Other(other) if format!("{:?}", other.0) == "CaUsedAsEndEntity")
}

/// What an error says.
pub(in crate::adapters) fn in_words(error: &Error) -> String {
    explained(error).1
}

/// The kind of an error, and what it says.
pub(super) fn explained(error: &Error) -> (FailureKind, String) {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::PeerIncompatible(_) => (FailureKind::TlsVersion, no_common_version()),
        Error::AlertReceived(alert) => of_alert(*alert),
        _ => (FailureKind::Tls, error.to_string()),
    }
}

fn no_common_version() -> String {
    "it offers neither TLS 1.2 nor TLS 1.3, or only ciphers that are not safe".to_owned()
}

fn of_certificate(error: &CertificateError) -> (FailureKind, String) {
    let dates = |text: &str| (FailureKind::CertificateDates, text.to_owned());
    match error {
        CertificateError::Expired => dates("its certificate is no longer valid"),
        CertificateError::ExpiredContext { not_after, .. } => dates(&format!(
            "its certificate was valid until {}",
            date(*not_after)
        )),
        CertificateError::NotValidYet => dates("its certificate is not valid yet"),
        CertificateError::NotValidYetContext { not_before, .. } => dates(&format!(
            "its certificate is valid only from {}",
            date(*not_before)
        )),
        CertificateError::NotValidForName => (
            FailureKind::CertificateName,
            "its certificate is for another name".to_owned(),
        ),
        CertificateError::NotValidForNameContext { presented, .. } => {
            (FailureKind::CertificateName, other_names(presented))
        }
        CertificateError::UnknownIssuer => (
            FailureKind::Certificate,
            "its certificate is signed by nobody whom this machine trusts".to_owned(),
        ),
        error if is_authoritys_own(error) => (
            FailureKind::Certificate,
            "its certificate is an authority's own (`CA:TRUE`), and not one that this machine trusts"
                .to_owned(),
        ),
        _ => (
            FailureKind::Certificate,
            format!("its certificate cannot be trusted: {error}"),
        ),
    }
}

/// `presented` is made for the debugger: `DnsName("a.example")`, `IpAddress(10.0.0.7)`.
fn other_names(presented: &[String]) -> String {
    let bare = presented.iter().map(|name| {
        let inner = name
            .split_once('(')
            .map_or(name.as_str(), |(_, inner)| inner);
        let inner = inner.trim_end_matches(')').trim_matches('"');
        format!("`{inner}`")
    });
    let names: Vec<String> = bare.collect();
    if names.is_empty() {
        return "its certificate has no name that counts (`subjectAltName`)".to_owned();
    }
    format!("its certificate is only for {}", names.join(", "))
}

fn date(time: UnixTime) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(time.as_secs()))
}

fn of_alert(alert: AlertDescription) -> (FailureKind, String) {
    match alert {
        AlertDescription::ProtocolVersion
        | AlertDescription::HandshakeFailure
        | AlertDescription::InsufficientSecurity => (
            FailureKind::TlsVersion,
            format!("{} ({alert:?})", no_common_version()),
        ),
        AlertDescription::CertificateRequired
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => (
            FailureKind::ClientCertificate,
            format!("it wants a certificate of this machine, or another one ({alert:?})"),
        ),
        _ => (
            FailureKind::Tls,
            format!("it ends the TLS connection ({alert:?})"),
        ),
    }
}
