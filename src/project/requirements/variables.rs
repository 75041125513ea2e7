//! Variables in URLs, as pip expands them: `${NAME}` in capitals.

/// The names of variables in a text, as pip expands them: `${NAME}` in capitals.
pub fn variables(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split("${").skip(1);
    let names = parts.filter_map(|part| part.split_once('}').map(|(name, _)| name));
    names.filter(|name| is_variable(name))
}

fn is_variable(name: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && name.bytes().all(of_name)
}

/// The text with the value of each variable.
///
/// # Errors
/// The name of the first variable that is not set, or is empty.
pub fn expand(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, &str> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.push_str(before);
        rest = after;
        if let Some((name, after)) = after.split_once('}').filter(|(name, _)| is_variable(name)) {
            let value = value(name).filter(|value| !value.is_empty());
            expanded.push_str(&value.ok_or(name)?);
            rest = after;
        } else {
            expanded.push_str("${");
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Whether a URL holds a user or a password that is written out: variables are none.
pub(super) fn has_credentials(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else {
        return false;
    };
    let Some((login, _)) = rest.rsplit_once('@') else {
        return false;
    };
    let is_variable = |part: &str| {
        expand(part, |_| Some("X".to_owned())).is_ok_and(|it| it.bytes().all(|byte| byte == b'X'))
    };
    match login.split_once(':') {
        // A user alone may be a token.
        None => !is_variable(login) || login.is_empty(),
        Some((_, password)) => !is_variable(password) || password.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded_as_pip_does() {
        let value = |name: &str| match name {
            "HOST" => Some("h.example".to_owned()),
            "P_1" => Some("a$b".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, wanted) in [
            ("https://${HOST}/simple", Ok("https://h.example/simple")),
            ("${HOST}${HOST}", Ok("h.exampleh.example")),
            ("u:${P_1}@x", Ok("u:a$b@x")),
            (
                "$HOST ${host} ${} ${A-B} ${HOST",
                Ok("$HOST ${host} ${} ${A-B} ${HOST"),
            ),
            ("${HOST}${NONE}", Err("NONE")),
            ("${EMPTY}", Err("EMPTY")),
        ] {
            assert_eq!(expand(text, value), wanted.map(str::to_owned), "{text}");
        }
        let names: Vec<&str> = variables("${A}x${b}${C_2}").collect();
        assert_eq!(names, ["A", "C_2"]);
    }

    #[test]
    fn what_is_written_out_is_a_credential_and_a_variable_is_none() {
        for (url, is) in [
            ("https://h.example/simple", false),
            ("https://${HOST}/simple", false),
            ("https://${USER}:${PASS}@h.example/", false),
            ("https://__token__:${TOKEN}@h.example/", false),
            ("https://${TOKEN}@h.example/", false),
            ("https://token@h.example/", true),
            ("https://u:p@h.example/", true),
            ("https://${USER}:p@h.example/", true),
            ("https://u:${P}x@h.example/", true),
            ("https://u:@h.example/", true),
            ("https://u:p@x@h.example/", true),
        ] {
            assert_eq!(has_credentials(url), is, "{url}");
        }
    }
}
