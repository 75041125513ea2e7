//! Private keys in binary files: PKCS#12, PKCS#8 and PKCS#1 in DER, and Java's keystores.

use super::{SecretRule, hit::Hit};

/// The version of a PKCS#12 file, which is 3.
const PFX_VERSION: &[u8] = &[0x02, 0x01, 0x03, 0x30];

/// The object identifiers of bags that hold keys, encrypted or not; those of certificates are others.
const KEY_BAGS: [&[u8]; 2] = [
    &[
        0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x02,
    ],
    &[
        0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x01,
    ],
];

/// The object identifiers of the algorithms of keys: RSA, elliptic curves, and the curves of Edwards and Montgomery.
const ALGORITHMS: [&[u8]; 4] = [
    &[
        0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
    ],
    &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01],
    &[0x06, 0x03, 0x2b, 0x65, 0x70],
    &[0x06, 0x03, 0x2b, 0x65, 0x6e],
];

/// The first bytes of the keystores of Java: JKS and JCEKS.
const KEYSTORES: [&[u8]; 2] = [&[0xfe, 0xed, 0xfe, 0xed], &[0xce, 0xce, 0xce, 0xce]];

/// What is found in a file that begins with these bytes.
pub(super) fn hit(bytes: &[u8]) -> Option<Hit> {
    let rule = if KEYSTORES.iter().any(|magic| bytes.starts_with(magic)) {
        has_key_entry(bytes).then_some(SecretRule::JavaKeystore)?
    } else {
        let inner = sequence(bytes)?;
        if inner.starts_with(PFX_VERSION) {
            let has = |bag: &&[u8]| memchr::memmem::find(inner, bag).is_some();
            KEY_BAGS.iter().any(has).then_some(SecretRule::Pkcs12)?
        } else {
            is_key(inner).then_some(SecretRule::PrivateKey)?
        }
    };
    Some(Hit {
        rule,
        value: 0..bytes.len(),
    })
}

/// What is in the DER sequence that the file is.
fn sequence(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(&[0x30])?;
    match rest {
        [0x80, inner @ ..]
        | [0x81, _, inner @ ..]
        | [0x82, _, _, inner @ ..]
        | [0x83, _, _, _, inner @ ..] => Some(inner),
        [length, inner @ ..] if *length < 0x80 => Some(inner),
        _ => None,
    }
}

/// PKCS#8: version 0 or 1, and then an algorithm of keys; or PKCS#1: version 0, and a long modulus.
fn is_key(inner: &[u8]) -> bool {
    let [0x02, 0x01, 0x00 | 0x01, rest @ ..] = inner else {
        return false;
    };
    let is_pkcs8 = sequence(rest)
        .is_some_and(|algorithm| ALGORITHMS.iter().any(|known| algorithm.starts_with(known)));
    let is_pkcs1 = matches!(
        rest,
        [0x02, 0x82, 1 | 2, 1, 0, ..] | [0x02, 0x81, 0x81, 0, ..]
    );
    is_pkcs8 || is_pkcs1
}

/// Whether a keystore has an entry that is a key. Entries of certificates are passed over.
fn has_key_entry(bytes: &[u8]) -> bool {
    let number = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let short = |at: usize| {
        Some(usize::from(u16::from_be_bytes(
            *bytes.get(at..)?.first_chunk()?,
        )))
    };
    let count = number(8).unwrap_or_default();
    let mut at = 12;
    for _ in 0..count.min(100_000) {
        let next = || {
            if number(at)? != 2 {
                return None;
            }
            let mut end = at + 4;
            end += 2 + short(end)? + 8;
            end += 2 + short(end)?;
            end += 4 + usize::try_from(number(end)?).ok()?;
            Some(end)
        };
        match next() {
            Some(end) => at = end,
            None => return number(at).is_some_and(|tag| tag == 1 || tag == 3),
        }
    }
    false
}
