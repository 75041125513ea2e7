//! What `NO_PROXY` says with ports. The entries without them are obeyed by reqwest, which takes a port for a part of the
//! name. And what is wrong with the variables that name proxies, of which reqwest passes over those that it cannot read.

use std::fmt;

use reqwest::Url;

/// The variables, each with its name in lower case, which counts where the first is not set.
const VARIABLES: [[&str; 2]; 4] = [
    ["HTTPS_PROXY", "https_proxy"],
    ["HTTP_PROXY", "http_proxy"],
    ["ALL_PROXY", "all_proxy"],
    ["NO_PROXY", "no_proxy"],
];

/// A variable that decides about proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyVariable {
    /// Its name, as it is set.
    pub name: &'static str,
    /// Its value, without user and password.
    pub value: String,
    /// Why it has no effect, or not the one that is meant.
    pub problem: Option<ProxyProblem>,
}

/// What is wrong with a variable that decides about proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyProblem {
    /// It is no URL.
    NoUrl,
    /// Its scheme is not one that can be spoken to a proxy.
    Scheme(String),
    /// An entry of `NO_PROXY` has a space in it, so that it names nothing.
    Space(String),
}

impl fmt::Display for ProxyProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUrl => formatter.write_str("it is no URL of the form http://HOST:PORT"),
            Self::Scheme(scheme) => {
                write!(
                    formatter,
                    "proxies are spoken to by http or https, not by {scheme}"
                )
            }
            Self::Space(entry) => {
                write!(
                    formatter,
                    "its entry `{entry}` has a space: entries are parted by commas"
                )
            }
        }
    }
}

/// The variables that decide about proxies, as the client for registries obeys them.
#[must_use]
pub fn proxy_variables(environment: &dyn Fn(&str) -> Option<String>) -> Vec<ProxyVariable> {
    let set = VARIABLES.iter().filter_map(|names| {
        let mut found = names
            .iter()
            .filter_map(|name| Some((*name, environment(name)?)));
        found.next().filter(|(_, value)| !value.trim().is_empty())
    });
    set.map(|(name, value)| variable(name, &value)).collect()
}

/// What is wrong with the variables that decide about a proxy for a URL: reqwest would pass over what it cannot read, and
/// go where no proxy is.
pub(super) fn misread(url: &Url, environment: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let variables = proxy_variables(environment);
    let named = |name: &str| {
        let mut variables = variables.iter();
        variables.find(|variable| variable.name.eq_ignore_ascii_case(name))
    };
    let of_scheme = format!("{}_PROXY", url.scheme());
    let proxy = named(&of_scheme).or_else(|| named("ALL_PROXY"))?;
    let host = url.host_str()?;
    let is_excepted = |entry: &str| {
        let entry = entry.trim();
        entry == "*" || names(entry.trim_start_matches(['*', '.']), false, host)
    };
    if named("NO_PROXY").is_some_and(|variable| variable.value.split(',').any(is_excepted)) {
        return None;
    }
    let wrong = [Some(proxy), named("NO_PROXY")];
    wrong.into_iter().flatten().find_map(|variable| {
        let problem = variable.problem.as_ref()?;
        Some(format!("{}={}: {problem}", variable.name, variable.value))
    })
}

fn variable(name: &'static str, value: &str) -> ProxyVariable {
    if name.eq_ignore_ascii_case("NO_PROXY") {
        let mut entries = value.split(',').map(str::trim);
        let spaced = entries.find(|entry| entry.contains(char::is_whitespace));
        return ProxyVariable {
            name,
            value: value.to_owned(),
            problem: spaced.map(|entry| ProxyProblem::Space(entry.to_owned())),
        };
    }
    let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
    let shown = rest
        .rsplit_once('@')
        .map_or(rest.to_owned(), |(_, host)| format!("***@{host}"));
    let parsed = Url::parse(&format!("http://{rest}"));
    let problem = match (scheme.to_ascii_lowercase().as_str(), parsed) {
        ("http" | "https", Ok(url)) if url.host_str().is_some_and(|host| !host.is_empty()) => None,
        ("http" | "https", _) => Some(ProxyProblem::NoUrl),
        (other, _) => Some(ProxyProblem::Scheme(other.to_owned())),
    };
    ProxyVariable {
        name,
        value: format!("{scheme}://{shown}"),
        problem,
    }
}

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

    /// Variables with their values, and what is told of them.
    const TOLD: [(&str, &str, &str); 10] = [
        (
            "HTTPS_PROXY",
            "http://proxy:3128",
            "HTTPS_PROXY http://proxy:3128 ",
        ),
        (
            "https_proxy",
            "proxy:3128",
            "https_proxy http://proxy:3128 ",
        ),
        (
            "HTTP_PROXY",
            "http://ada:s3cret@proxy/",
            "HTTP_PROXY http://***@proxy/ ",
        ),
        (
            "ALL_PROXY",
            "ada:s3:cr@et@proxy",
            "ALL_PROXY http://***@proxy ",
        ),
        (
            "HTTPS_PROXY",
            "http://proxy:port",
            "HTTPS_PROXY http://proxy:port it is no URL of the form http://HOST:PORT",
        ),
        (
            "HTTPS_PROXY",
            "http://",
            "HTTPS_PROXY http:// it is no URL of the form http://HOST:PORT",
        ),
        (
            "ALL_PROXY",
            "socks5://proxy:1080",
            "ALL_PROXY socks5://proxy:1080 proxies are spoken to by http or https, not by socks5",
        ),
        (
            "NO_PROXY",
            "a.example, .b.example",
            "NO_PROXY a.example, .b.example ",
        ),
        (
            "NO_PROXY",
            "a.example b.example,c",
            "NO_PROXY a.example b.example,c its entry `a.example b.example` has a space: entries are parted by commas",
        ),
        ("HTTPS_PROXY", "", ""),
    ];

    #[test]
    fn what_is_wrong_with_a_variable_is_told_and_no_password() {
        let told = |name: &'static str, value: &str| {
            let set = |asked: &str| (asked == name).then(|| value.to_owned());
            let found = proxy_variables(&set);
            let told = |found: &ProxyVariable| {
                let problem = found.problem.as_ref().map(ToString::to_string);
                format!(
                    "{} {} {}",
                    found.name,
                    found.value,
                    problem.unwrap_or_default()
                )
            };
            found.iter().map(told).collect::<Vec<_>>().join("\n")
        };
        for (name, value, wanted) in TOLD {
            assert_eq!(told(name, value), wanted, "{name}={value}");
        }
    }

    #[test]
    fn only_what_decides_about_a_url_is_refused() {
        let told = |url: &str, set: &[(&str, &str)]| {
            let environment = |name: &str| {
                let mut found = set.iter().filter(|(known, _)| *known == name);
                found.next().map(|(_, value)| (*value).to_owned())
            };
            misread(&Url::parse(url).unwrap(), &environment).unwrap_or_default()
        };
        let https = "https://reg.example/";
        let wrong = ("HTTPS_PROXY", "http://u:s3cret@proxy:x");
        let spaced = ("no_proxy", "a.example b.example");
        let right = ("ALL_PROXY", "http://proxy:1");
        for (url, set, begins) in [
            (https, &[wrong][..], "HTTPS_PROXY=http://***@proxy:x: "),
            (https, &[wrong, right], "HTTPS_PROXY=http://***@proxy:x: "),
            (https, &[right, spaced], "no_proxy=a.example b.example: "),
            (https, &[right], ""),
            (https, &[spaced], ""),
            (https, &[wrong, ("NO_PROXY", "a b, .example")], ""),
            (https, &[wrong, ("NO_PROXY", "*")], ""),
            (https, &[wrong, ("NO_PROXY", "g.example")], "HTTPS_PROXY="),
            ("http://reg.example/", &[wrong], ""),
            (https, &[("HTTP_PROXY", "http://")], ""),
        ] {
            let told = told(url, set);
            assert_eq!(told.is_empty(), begins.is_empty(), "{url} {set:?}");
            assert!(told.starts_with(begins), "{told}");
        }
    }

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
