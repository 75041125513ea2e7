//! Authentication challenges: the header `WWW-Authenticate` in a registry's answer.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// How the registry wants a client to authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password with every request.
    Basic,
    /// A token from another server.
    Bearer {
        /// The token server's URL.
        realm: String,
        /// The registry's name at the token server.
        service: Option<String>,
        /// The scope that the request needs.
        scope: Option<String>,
    },
}

/// The challenge to answer: `Bearer` if it is offered.
pub(super) fn read(headers: &HeaderMap) -> Option<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let all: Vec<Challenge> = texts.flat_map(parse).collect();
    let bearer = all.iter().find(|challenge| **challenge != Challenge::Basic);
    bearer.or(all.first()).cloned()
}

fn parse(text: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let (scheme, after) = split_token(rest);
        let (parameters, after) = parameters(after);
        let of = |name: &str| {
            let found = parameters
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            challenges.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = of("realm")
        {
            challenges.push(Challenge::Bearer {
                realm,
                service: of("service"),
                scope: of("scope"),
            });
        }
        if after.len() == rest.len() {
            break;
        }
        rest = after;
    }
    challenges
}

fn split_token(text: &str) -> (&str, &str) {
    let end = text.find([' ', ',', '=', '"', '\t']).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// `key=value` and `key="value"` pairs up to the next scheme, and what follows them.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', ',', '\t']);
        let (key, after) = split_token(rest);
        let Some(after) = after.strip_prefix('=') else {
            return (found, rest);
        };
        let (value, after) = value(after.trim_start());
        found.push((key.to_owned(), value));
        rest = after;
    }
}

fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(WWW_AUTHENTICATE, text.parse().unwrap());
        }
        read(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: owned(service),
            scope: owned(scope),
        }
    }

    #[test]
    fn challenges_of_real_registries_are_read() {
        let hub = "Bearer realm=\"https://auth.example/token\",service=\"reg.example\",scope=\"repository:a/b:pull,push\",error=\"invalid_token\"";
        let scope = Some("repository:a/b:pull,push");
        assert_eq!(
            of(&[hub]),
            Some(bearer(
                "https://auth.example/token",
                Some("reg.example"),
                scope
            ))
        );
        assert_eq!(of(&["Basic realm=\"a, b=c\""]), Some(Challenge::Basic));
        assert_eq!(of(&["basic"]), Some(Challenge::Basic));
        let loose = "bearer  Realm = https://x.example/t , SERVICE=\"a\\\"b\"";
        assert_eq!(
            of(&[loose]),
            Some(bearer("https://x.example/t", Some("a\"b"), None))
        );
    }

    #[test]
    fn a_token_is_preferred_and_unknown_schemes_are_passed_over() {
        let both = "Basic realm=\"x\", Bearer realm=\"https://x.example/t\"";
        assert_eq!(of(&[both]), Some(bearer("https://x.example/t", None, None)));
        let apart = [
            "Basic realm=\"x\"",
            "Negotiate",
            "Bearer realm=\"https://x.example/t\"",
        ];
        assert_eq!(of(&apart), Some(bearer("https://x.example/t", None, None)));
        for nothing in [
            "Negotiate",
            "Bearer",
            "",
            "=",
            "\"",
            "Digest qop=\"auth",
            ",,,",
        ] {
            assert_eq!(of(&[nothing]), None, "{nothing}");
        }
    }
}
