//! Texts that look like credentials and open nothing. They are put together when a test runs: the repository has none.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

/// Characters that look drawn by lot, the same for the same number.
pub(crate) fn drawn(alphabet: &str, length: usize, seed: u64) -> String {
    let letters: Vec<char> = alphabet.chars().collect();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % letters.len()
    };
    (0..length).map(|_| letters[next()]).collect()
}

pub(crate) const HEX: &str = "0123456789abcdef";
pub(crate) const CAPITALS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
pub(crate) const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
pub(crate) const ALL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A token that begins so.
pub(crate) fn token(beginning: &str, length: usize) -> String {
    format!("{beginning}{}", drawn(ALL, length, 7))
}

pub(crate) fn aws_id() -> String {
    format!("AK{}{}", "IA", drawn(CAPITALS, 16, 3))
}

pub(crate) fn aws_key() -> String {
    drawn(ALL, 40, 5)
}

pub(crate) fn storage_key() -> String {
    STANDARD.encode(drawn(ALL, 64, 11))
}

/// A private key in PEM, with lines that are parted so.
pub(crate) fn pem(kind: &str, parted: &str) -> String {
    let lines: Vec<String> = (0..8).map(|line| drawn(ALL, 64, 100 + line)).collect();
    let (begin, end) = (format!("-----BEGIN {kind}"), format!("-----END {kind}"));
    format!(
        "{begin}PRIVATE {}-----{parted}{}{parted}{end}PRIVATE {}-----{parted}",
        "KEY",
        lines.join(parted),
        "KEY"
    )
}

pub(crate) fn jwt(claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part("{\"alg\":\"RS256\",\"typ\":\"JWT\"}"),
        part(claims),
        drawn(ALL, 43, 13)
    )
}

pub(crate) fn base64(text: &str) -> String {
    STANDARD.encode(text)
}
