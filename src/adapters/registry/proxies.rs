//! What `NO_PROXY` says with ports. The entries without them are obeyed by reqwest, which takes a port for a part of the
//! name.

use reqwest::Url;

/// Whether an entry `HOST:PORT` of `NO_PROXY` names the host of a URL, or a domain above it, and its port.
#[expect(
    clippy::disallowed_methods,
    reason = "an adapter reads the environment"
)]
pub(super) fn excepts(url: &Url) -> bool {
    let value = ["NO_PROXY", "no_proxy"].map(|name| std::env::var(name).ok());
    let value = value.into_iter().flatten().find(|value| !value.is_empty());
    value.is_some_and(|value| excepts_by(&value, url))
}

fn excepts_by(value: &str, url: &Url) -> bool {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return false;
    };
    value.split(',').any(|entry| {
        let Some((name, number)) = entry.trim().rsplit_once(':') else {
            return false;
        };
        let below = name.strip_prefix("*.").or_else(|| name.strip_prefix('.'));
        number.parse() == Ok(port) && names(below.unwrap_or(name), below.is_some(), host)
    })
}

/// Whether `host` is below a domain, or the domain itself.
fn names(domain: &str, only_below: bool, host: &str) -> bool {
    // The host of a URL is in lower case.
    let domain = domain.to_ascii_lowercase();
    let Some(before) = host.strip_suffix(domain.as_str()) else {
        return false;
    };
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    match before {
        "" => !only_below,
        before => before.ends_with('.') && !domain.is_empty() && !is_address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_with_a_port_counts_for_that_port() {
        let excepts = |value: &str, url: &str| excepts_by(value, &Url::parse(url).unwrap());
        for (value, url) in [
            ("reg.example:5000", "https://reg.example:5000/v2/"),
            ("a, REG.example:5000 ,b", "https://reg.example:5000/"),
            ("example:5000", "https://reg.example:5000/"),
            (".example:5000", "https://reg.example:5000/"),
            ("*.example:5000", "https://reg.example:5000/"),
            ("reg.example:443", "https://reg.example/"),
            ("reg.example:80", "http://reg.example/"),
            ("10.0.0.7:5000", "https://10.0.0.7:5000/"),
            ("[2001:db8::7]:5000", "https://[2001:db8::7]:5000/"),
        ] {
            assert!(excepts(value, url), "{value} {url}");
        }
        for (value, url) in [
            ("", "https://reg.example:5000/"),
            ("reg.example", "https://reg.example/"),
            ("reg.example:5001", "https://reg.example:5000/"),
            ("reg.example:443", "https://reg.example:5000/"),
            ("g.example:5000", "https://reg.example:5000/"),
            (".reg.example:5000", "https://reg.example:5000/"),
            ("reg.example:x", "https://reg.example:5000/"),
            (":5000", "https://reg.example:5000/"),
            (".:5000", "https://reg.example:5000/"),
            ("0.0.7:5000", "https://10.0.0.7:5000/"),
            ("2001:db8::7", "https://[2001:db8::7]:7/"),
        ] {
            assert!(!excepts(value, url), "{value} {url}");
        }
    }
}
