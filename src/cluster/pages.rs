//! Lists that are read to their end, page by page: a cluster may have more objects of a kind than
//! fit into one answer.

use std::fmt::Debug;

use kube::api::{Api, ListParams};
use serde::de::DeserializeOwned;

use super::retry::Retry;
use crate::migration::ports::PortResult;

/// How many objects one page has.
pub(super) const PAGE: u32 = 500;

/// All objects that `params` select. `what` says what they are for, as for [`Retry::run`].
pub(super) async fn all<K>(
    retry: &Retry,
    api: &Api<K>,
    params: ListParams,
    what: &str,
) -> PortResult<Vec<K>>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut params = params.limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = retry.run(what, || api.list(&params)).await?;
        found.extend(page.items);
        match page.metadata.continue_.filter(|it| !it.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}
