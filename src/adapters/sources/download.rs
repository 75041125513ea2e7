//! Downloads over HTTP.

use std::{error::Error, io::Write, path::Path, time::Duration};

use reqwest::{Certificate, Client, StatusCode, redirect};

use super::{Progress, SourceError};
use crate::adapters::runtime::NetworkRuntime;

/// The number of attempts after the first.
const RETRIES: u32 = 4;
/// The delay before the second attempt; doubled before each further one.
const FIRST_PAUSE: Duration = if cfg!(test) {
    Duration::from_millis(1)
} else {
    Duration::from_millis(250)
};
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// A download is given up after this time without a byte.
const SILENCE_TIMEOUT: Duration = Duration::from_mins(1);
const REDIRECTS: usize = 10;

/// Why an attempt failed.
struct Fault {
    transient: bool,
    error: SourceError,
}

/// Downloads `url` into `file`.
pub(super) fn download(
    url: &str,
    ca: Option<&Path>,
    file: &Path,
    progress: Progress<'_>,
) -> Result<(), SourceError> {
    let client = client(url, ca)?;
    let runtime = NetworkRuntime::new(1)?;
    let mut pause = FIRST_PAUSE;
    for _ in 0..RETRIES {
        match runtime.block_on(get(&client, url, file, progress)) {
            Err(fault) if fault.transient => std::thread::sleep(pause),
            done => return done.map_err(|fault| fault.error),
        }
        pause *= 2;
    }
    runtime
        .block_on(get(&client, url, file, progress))
        .map_err(|fault| fault.error)
}

fn client(url: &str, ca: Option<&Path>) -> Result<Client, SourceError> {
    let unreachable = |error: &dyn Error| SourceError::Unreachable {
        from: shown(url),
        reason: innermost(error),
    };
    // This fails if the process already has a provider, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let policy = redirect::Policy::custom(|attempt| {
        let downgraded = attempt.previous().iter().any(|url| url.scheme() == "https")
            && attempt.url().scheme() != "https";
        match () {
            () if downgraded => attempt.error("it redirects from https to http"),
            () if attempt.previous().len() > REDIRECTS => attempt.error("it redirects too often"),
            () => attempt.follow(),
        }
    });
    let mut builder = Client::builder()
        .user_agent(concat!("sparkpack/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(SILENCE_TIMEOUT)
        .redirect(policy);
    if let Some(ca) = ca {
        let pem = fs_err::read(ca)?;
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|error| unreachable(&error))?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|error| unreachable(&error))
}

async fn get(client: &Client, url: &str, file: &Path, progress: Progress<'_>) -> Result<(), Fault> {
    let failed = |error: reqwest::Error| Fault {
        transient: !(error.is_redirect()
            || error.is_builder()
            || innermost(&error).contains("certificate")),
        error: SourceError::Unreachable {
            from: shown(url),
            reason: innermost(&error.without_url()),
        },
    };
    let disk = |error: std::io::Error| Fault {
        transient: false,
        error: error.into(),
    };
    let mut response = client.get(url).send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(refused(url, response.status()));
    }
    let total = response.content_length();
    let mut output = fs_err::File::create(file).map_err(disk)?;
    let mut done = 0;
    progress(done, total);
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        output.write_all(&chunk).map_err(disk)?;
        done += chunk.len() as u64;
        progress(done, total);
    }
    Ok(())
}

fn refused(url: &str, status: StatusCode) -> Fault {
    let from = shown(url);
    let reason = status.to_string();
    let transient = matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504);
    let error = match status.as_u16() {
        404 | 410 => SourceError::NotFound { from, at: None },
        401 | 403 | 407 => SourceError::Denied { from, reason },
        _ => SourceError::Unreachable { from, reason },
    };
    Fault { transient, error }
}

fn innermost(error: &dyn Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// A URL for messages: without a password, and without its query, which may hold a signature.
pub(super) fn shown(url: &str) -> String {
    let (scheme, rest) = url
        .split_once("://")
        .map_or(("", url), |(scheme, rest)| (scheme, rest));
    let (host, path) = rest
        .find(['/', '?', '#'])
        .map_or((rest, ""), |end| rest.split_at(end));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    crate::project::ignore::escaped(format!("{scheme}://{host}{path}"))
}
