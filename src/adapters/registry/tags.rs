//! The tags of a repository.

use std::collections::BTreeSet;

use reqwest::{
    StatusCode, Url,
    header::{HeaderMap, LINK},
};
use serde::Deserialize;

use super::{
    client::RegistryClient,
    error::RegistryError,
    session::{RegistrySession, Request, describe, not_understood, refused},
    transport::Reading,
};
use crate::image::Repository;

/// The size limit of one page, in bytes.
const LIMIT: usize = 16 << 20;

/// The tags of one page.
const PAGE: usize = 1000;

/// More pages are an endless list.
const PAGES: usize = 1000;

#[derive(Deserialize)]
struct TagPage {
    tags: Option<Vec<String>>,
}

impl RegistryClient {
    /// The tags of a repository that begin with `prefix`. A mirror is not asked: it may not have the newest.
    ///
    /// # Errors
    /// Any answer other than a list, or that there is no such repository.
    pub fn tags(
        &self,
        repository: &Repository,
        prefix: &str,
    ) -> Result<BTreeSet<String>, RegistryError> {
        let action = format!("list the tags of `{repository}`");
        let request = tags_of(repository, &action, PAGE);
        self.runtime.block_on(self.session.tags(&request, prefix))
    }
}

impl RegistrySession {
    async fn tags(
        &self,
        request: &Request<'_>,
        prefix: &str,
    ) -> Result<BTreeSet<String>, RegistryError> {
        let mut found = BTreeSet::new();
        let mut page = request.clone();
        for _ in 0..PAGES {
            let answer = self.exchange(&page).await?;
            match answer.status {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Ok(found),
                _ => return Err(refused(request, describe(&answer))),
            }
            let listed: TagPage = serde_json::from_slice(&answer.body)
                .map_err(|error| not_understood(request, error.to_string()))?;
            let tags = listed.tags.unwrap_or_default().into_iter();
            found.extend(tags.filter(|tag| tag.starts_with(prefix)));
            let Some(query) = next_page(&answer.headers, &answer.url) else {
                return Ok(found);
            };
            page.path = format!("tags/list?{query}");
        }
        let because = format!("its list of tags has more than {PAGES} pages");
        Err(not_understood(request, because))
    }
}

/// The query of the next page, which a registry names as in RFC 5988.
fn next_page(headers: &HeaderMap, asked: &Url) -> Option<String> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.contains("rel=\"next\"") || parameters.contains("rel=next");
    let target = asked.join(target).ok().filter(|_| is_next)?;
    Some(target.query()?.to_owned())
}

/// The request for the first tags of a repository.
pub(super) fn tags_of<'a>(
    repository: &'a Repository,
    action: &'a str,
    count: usize,
) -> Request<'a> {
    let path = format!("tags/list?n={count}");
    Request {
        accept: "application/json",
        ..Request::get(action, repository, path, Reading::Whole(LIMIT))
    }
}
