//! The texts by which credentials are found, each with the check of what is around it.

use std::{ops::Range, sync::OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{hit::Hit, keys, tokens, urls};

/// Gets a text, and where an anchor begins and ends in it.
type Check = fn(&[u8], usize, usize) -> Option<Hit>;

/// How many hits before one may be of the same value.
const NEAR: usize = 8;

/// None of them holds another one, or begins with what another one ends with.
const ANCHORS: [(&str, Check); 46] = [
    ("PRIVATE KEY", keys::pem),
    ("PuTTY-User-Key-File-", keys::putty),
    ("LS0tLS1CRUdJTi", keys::encoded_pem),
    ("auth\"", auth),
    ("current-context", keys::kubeconfig),
    ("://", urls::url_password),
    ("jdb", urls::jdbc),
    ("JDB", urls::jdbc),
    ("AKIA", tokens::aws_access_key),
    ("ASIA", tokens::aws_access_key),
    ("secret", tokens::aws_secret_key),
    ("Secret", tokens::aws_secret_key),
    ("SECRET", tokens::aws_secret_key),
    ("Q~", tokens::azure_client_secret),
    ("AccountKey", tokens::azure_storage_key),
    ("SharedAccessKey", tokens::azure_storage_key),
    ("azure.account.key", tokens::azure_storage_key),
    ("account_key", tokens::azure_storage_key),
    ("ACCOUNT_KEY", tokens::azure_storage_key),
    ("STORAGE_KEY", tokens::azure_storage_key),
    ("storage_key", tokens::azure_storage_key),
    ("dapi", tokens::databricks_token),
    ("dckr_pat_", tokens::docker_hub_token),
    ("dckr_oat_", tokens::docker_hub_token),
    ("AIza", tokens::gcp_api_key),
    ("GOCSPX-", tokens::gcp_client_secret),
    ("authorized_user", tokens::gcp_user),
    ("ghp_", tokens::github_token),
    ("gho_", tokens::github_token),
    ("ghu_", tokens::github_token),
    ("ghs_", tokens::github_token),
    ("ghr_", tokens::github_token),
    ("github_pat_", tokens::github_fine_token),
    ("glpat-", tokens::gitlab_token),
    ("hf_", tokens::hugging_face_token),
    ("npm_", tokens::npm_token),
    ("_authToken", tokens::npm_auth_token),
    ("T3BlbkFJ", tokens::openai_key),
    ("pypi-AgE", tokens::pypi_token),
    ("xox", slack),
    ("xapp-", tokens::slack_token),
    ("hooks.slack.com/services/", tokens::slack_webhook),
    ("sk_live_", tokens::stripe_key),
    ("rk_live_", tokens::stripe_key),
    ("hvs.", tokens::vault_token),
    ("eyJ", tokens::jwt),
];

/// `"auth"`, also with `\"` in a text that stands in another one.
fn auth(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    keys::docker_auth(text, start, end - 1)
}

/// `xoxb-` and its like.
fn slack(text: &[u8], start: usize, end: usize) -> Option<Hit> {
    let kind = text.get(end..end + 2)?;
    let is_token = b"abeprs".contains(&kind[0]) && kind[1] == b'-';
    is_token.then(|| tokens::slack_token(text, start, end + 2))?
}

fn automaton() -> Option<&'static AhoCorasick> {
    static AUTOMATON: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    let made = AUTOMATON.get_or_init(|| {
        let anchors = anchors();
        let mut builder = AhoCorasick::builder();
        let builder = builder.match_kind(MatchKind::LeftmostFirst);
        builder.kind(Some(AhoCorasickKind::DFA)).build(anchors).ok()
    });
    made.as_ref()
}

pub(super) fn anchors() -> impl Iterator<Item = &'static str> {
    ANCHORS.iter().map(|(anchor, _)| *anchor)
}

/// Every credential of a text whose anchor begins in `part` of it.
pub(super) fn hits(text: &[u8], part: Range<usize>) -> Vec<Hit> {
    let found = automaton()
        .into_iter()
        .flat_map(|automaton| automaton.find_iter(&text[part.start..]));
    let mut hits: Vec<Hit> = Vec::new();
    for found in found {
        let (start, end) = (part.start + found.start(), part.start + found.end());
        if start >= part.end {
            break;
        }
        let (_, check) = ANCHORS[found.pattern().as_usize()];
        if let Some(hit) = check(text, start, end)
            && !hits
                .iter()
                .rev()
                .take(NEAR)
                .any(|other| overlap(&other.value, &hit.value))
        {
            hits.push(hit);
        }
    }
    hits
}

fn overlap(left: &Range<usize>, right: &Range<usize>) -> bool {
    left.start < right.end && right.start < left.end
}
