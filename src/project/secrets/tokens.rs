//! Tokens that are known by how they begin, wherever they stand.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    SecretRule,
    hit::Hit,
    placeholders::{is_mixed, is_placeholder, is_random},
    value::{
        after, base62, base64, base64url, before, has, hex, is_within, literal, run, value_after,
        whole_run,
    },
};

/// A value that was drawn by lot behind a beginning that only such tokens have.
fn drawn(
    (text, start, end): (&[u8], usize, usize),
    rule: SecretRule,
    length: std::ops::RangeInclusive<usize>,
    is_part: fn(u8) -> bool,
) -> Option<Hit> {
    if is_within(text, start, base62) {
        return None;
    }
    let value = whole_run(text, end, length, is_part)?;
    is_random(&text[value.clone()]).then_some(Hit {
        rule,
        value: start..value.end,
    })
}

pub(super) fn aws_access_key(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let part = |byte: u8| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte);
    let at = (text, start, end);
    if text.get(end + 16).is_some_and(|byte| base64(*byte)) {
        return None;
    }
    let found = drawn(at, SecretRule::AwsAccessKey, 16..=16, part)?;
    text[end..end + 16]
        .iter()
        .any(u8::is_ascii_digit)
        .then_some(found)
}

/// A value of 40 characters behind a name with `secret` in it.
pub(super) fn aws_secret_key(text: &[u8], _: usize, end: usize) -> Option<Hit> {
    let name = run(text, end, 24, |byte| {
        byte.is_ascii_alphabetic() || b"_.-".contains(&byte)
    });
    let value = value_after(text, name.end)?;
    let value = whole_run(text, value, 40..=40, base64)?;
    let found = &text[value.clone()];
    let is_path = memchr::memchr_iter(b'/', found).count() > 4;
    let is_ended = text
        .get(value.end)
        .is_none_or(|byte| !b"=_-.".contains(byte));
    let is_key = is_random(found) && is_mixed(found) && !found.iter().all(|byte| hex(*byte));
    (is_key && is_ended && !is_path).then_some(Hit {
        rule: SecretRule::AwsSecretKey,
        value,
    })
}

pub(super) fn azure_client_secret(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || b"_~.-".contains(&byte);
    let begin = start.checked_sub(4)?;
    let head = &text[begin..start];
    let is_head = head[..3].iter().all(|byte| part(*byte)) && head[3].is_ascii_digit();
    let value = whole_run(text, end, 31..=34, part)?;
    let found = &text[begin..value.end];
    let is_key = is_head && !is_within(text, begin, part) && is_mixed(found) && is_random(found);
    is_key.then_some(Hit {
        rule: SecretRule::AzureClientSecret,
        value: begin..value.end,
    })
}

/// The key of the emulator, which everybody has.
const EMULATOR: &[u8] = b"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50u";

/// `AccountKey=`, `SharedAccessKey=`, and Hadoop's `fs.azure.account.key.ACCOUNT.dfs.core.windows.net`.
pub(super) fn azure_storage_key(text: &[u8], _: usize, end: usize) -> Option<Hit> {
    let name = run(text, end, 120, |byte| {
        byte.is_ascii_alphanumeric() || b"._-{}$".contains(&byte)
    });
    let start = value_after(text, name.end)?;
    let value = run(text, start, 90, base64);
    let padding = run(text, value.end, 3, |byte| byte == b'=');
    let found = &text[value.clone()];
    let is_key = matches!((value.len(), padding.len()), (86, 2) | (43, 1));
    let is_drawn = is_random(&found[..found.len().min(43)]) && is_mixed(found);
    (is_key && is_drawn && !found.starts_with(EMULATOR)).then_some(Hit {
        rule: SecretRule::AzureStorageKey,
        value: start..padding.end,
    })
}

pub(super) fn databricks_token(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    drawn(
        (text, start, end),
        SecretRule::DatabricksToken,
        32..=32,
        hex,
    )
}

pub(super) fn docker_hub_token(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    drawn(
        (text, start, end),
        SecretRule::DockerHubToken,
        20..=40,
        base64url,
    )
}

pub(super) fn gcp_api_key(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let found = drawn(
        (text, start, end),
        SecretRule::GcpApiKey,
        35..=35,
        base64url,
    )?;
    is_mixed(&text[found.value.clone()]).then_some(found)
}

pub(super) fn gcp_client_secret(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    drawn(
        (text, start, end),
        SecretRule::GcpClientSecret,
        28..=28,
        base64url,
    )
}

/// `ghp_`, `gho_`, `ghu_`, `ghs_`, `ghr_`.
pub(super) fn github_token(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let found = drawn(
        (text, start, end),
        SecretRule::GithubToken,
        36..=255,
        base62,
    )?;
    is_mixed(&text[end..found.value.end]).then_some(found)
}

pub(super) fn github_fine_token(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    drawn((text, start, end), SecretRule::GithubToken, 60..=100, part)
}

pub(super) fn gitlab_token(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let part = |byte: u8| base64url(byte) || byte == b'.';
    drawn((text, start, end), SecretRule::GitlabToken, 20..=300, part)
}

pub(super) fn hugging_face_token(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let found = drawn(
        (text, start, end),
        SecretRule::HuggingFaceToken,
        34..=34,
        part,
    )?;
    let value = &text[end..found.value.end];
    let is_token =
        value.iter().any(u8::is_ascii_uppercase) && value.iter().all(|byte| base62(*byte));
    is_token.then_some(found)
}

pub(super) fn npm_token(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let found = drawn((text, start, end), SecretRule::NpmToken, 36..=36, base62)?;
    is_mixed(&text[end..found.value.end]).then_some(found)
}

/// `_authToken=` of an `.npmrc`.
pub(super) fn npm_auth_token(text: &[u8], _: usize, end: usize) -> Option<Hit> {
    let start = value_after(text, end)?;
    // In code the name may be followed by anything else.
    let is_set = text[end..start].iter().any(|byte| b"=:".contains(byte));
    let value = literal(text, start);
    let found = &text[value.clone()];
    let part = |byte: &u8| base64url(*byte) || b"+/=.".contains(byte);
    let is_drawn = found.iter().any(u8::is_ascii_digit) && is_random(found);
    let is_token = is_set && found.len() >= 16 && found.iter().all(part) && is_drawn;
    is_token.then_some(Hit {
        rule: SecretRule::NpmToken,
        value,
    })
}

pub(super) fn openai_key(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let head = before(text, start, 120);
    let length = head
        .iter()
        .rev()
        .take_while(|byte| base64url(**byte))
        .count();
    let begin = start - length;
    let value = run(text, end, 120, base64url);
    let is_key = text[begin..].starts_with(b"sk-") && length >= 20 && value.len() >= 20;
    (is_key && is_random(&text[begin + 3..start])).then_some(Hit {
        rule: SecretRule::OpenaiKey,
        value: begin..value.end,
    })
}

pub(super) fn pypi_token(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    drawn(
        (text, start, end),
        SecretRule::PypiToken,
        64..=1024,
        base64url,
    )
}

pub(super) fn slack_token(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let found = drawn(
        (text, start, end),
        SecretRule::SlackToken,
        20..=255,
        |byte| byte.is_ascii_alphanumeric() || byte == b'-',
    )?;
    let value = &text[end..found.value.end];
    let has_parts =
        value.contains(&b'-') && value.iter().filter(|byte| byte.is_ascii_digit()).count() >= 6;
    has_parts.then_some(found)
}

pub(super) fn slack_webhook(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let value = run(text, end, 120, |byte| {
        byte.is_ascii_alphanumeric() || byte == b'/'
    });
    let parts: Vec<&[u8]> = text[value.clone()].split(|byte| *byte == b'/').collect();
    let [team, hook, key] = parts.as_slice() else {
        return None;
    };
    let is_hook =
        team.starts_with(b"T") && hook.starts_with(b"B") && key.len() >= 20 && is_random(key);
    is_hook.then_some(Hit {
        rule: SecretRule::SlackToken,
        value: start..value.end,
    })
}

pub(super) fn stripe_key(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    drawn((text, start, end), SecretRule::StripeKey, 20..=250, base62)
}

pub(super) fn vault_token(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    drawn(
        (text, start, end),
        SecretRule::VaultToken,
        80..=300,
        base64url,
    )
}

/// Three parts, the first of which is a JSON object with `alg`.
pub(super) fn jwt(text: &[u8], start: usize, _: usize) -> Option<Hit> {
    if is_within(text, start, base64url) {
        return None;
    }
    let header = run(text, start, 4096, base64url);
    let payload = run(text, header.end + 1, 16_384, base64url);
    let signature = run(text, payload.end + 1, 2048, base64url);
    let is_parted = text.get(header.end) == Some(&b'.') && text.get(payload.end) == Some(&b'.');
    if !is_parted || signature.len() < 20 || !text[payload.clone()].starts_with(b"eyJ") {
        return None;
    }
    let decoded = |part: &[u8]| URL_SAFE_NO_PAD.decode(part).ok();
    let (head, claims) = (decoded(&text[header])?, decoded(&text[payload])?);
    let is_signed = has(&head, b"\"alg\"") && head.ends_with(b"}") && !has(&head, b"\"none\"");
    // The one that every guide shows.
    let is_example = has(&claims, b"\"1234567890\"") || has(&claims, b"example");
    // A token that is in use says who issued it, for whom, or since when.
    let names = [
        &b"\"iss\""[..],
        b"\"sub\"",
        b"\"exp\"",
        b"\"iat\"",
        b"\"aud\"",
    ];
    let is_used = names.iter().any(|name| has(&claims, name));
    (is_signed && is_used && !is_example && is_random(&text[signature.clone()])).then_some(Hit {
        rule: SecretRule::Jwt,
        value: start..signature.end,
    })
}

/// `"refresh_token"` beside `authorized_user`.
pub(super) fn gcp_user(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let from = start.saturating_sub(2048);
    let near = after(text, from, 4096 + end - start);
    let at = from + memchr::memmem::find(near, b"refresh_token")?;
    let value = literal(text, value_after(text, at + b"refresh_token".len())?);
    let found = &text[value.clone()];
    (found.len() >= 20 && !is_placeholder(found) && is_random(found)).then_some(Hit {
        rule: SecretRule::GcpUserCredentials,
        value,
    })
}
