//! Watching a collection: initial events, changes as they happen, bookmarks, and the end.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderValue, Response, header};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Call;
use super::list::bookmark;
use crate::apiserver::errors::{ApiError, ApiResult};
use crate::apiserver::meta;
use crate::apiserver::selectors::Selector;
use crate::apiserver::store::{Change, ChangeKind};
use crate::apiserver::table::{self, Form};

/// How often a quiet watch is told the version it has reached, as the real watch cache does.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// One open watch.
struct Watch {
    call: Call,
    selector: Selector,
    namespace: Option<String>,
    /// The version up to which everything has been sent.
    at: u64,
    news: tokio::sync::watch::Receiver<u64>,
    ends: Instant,
    next_bookmark: Option<Instant>,
    tables_sent: usize,
    pending: Option<Bytes>,
    done: bool,
}

/// `GET` of a collection with `watch=true`.
pub(crate) fn watch(call: Call) -> ApiResult<Response<Body>> {
    let watch = Watch::start(call)?;
    let mut response = Response::new(Body::from_stream(watch.stream()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response.headers_mut().insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    Ok(response)
}

impl Watch {
    fn start(call: Call) -> ApiResult<Self> {
        let mut fields = call.query.get("fieldSelector").map(str::to_owned);
        if !call.info.name.is_empty() {
            fields = Some(format!("metadata.name={}", call.info.name));
        }
        let selector = Selector::parse(
            &call.def,
            call.query.get("labelSelector"),
            fields.as_deref(),
        )?;
        let namespace = call.info.namespace.clone().filter(|_| call.def.namespaced);
        let timeout = call
            .query
            .number("timeoutSeconds")?
            .and_then(|s| u64::try_from(s).ok())
            .filter(|s| *s > 0);
        // Without a wish the real server ends a watch after 30 to 60 minutes.
        let timeout = timeout.unwrap_or_else(|| rand::rng().random_range(1800..3600));
        let bookmarks = call.query.flag("allowWatchBookmarks");
        let send_initial = match call.query.get("sendInitialEvents") {
            Some(_) if call.query.get("resourceVersionMatch") != Some("NotOlderThan") => {
                return Err(ApiError::bad_request(
                    "sendInitialEvents is forbidden for watch unless resourceVersionMatch is set to NotOlderThan",
                ));
            }
            Some(_) => Some(call.query.flag("sendInitialEvents")),
            None => None,
        };
        let now = Instant::now();
        let news = call.server.store.subscribe(&call.def.key);
        let asked = call.query.version()?;
        let mut watch = Self {
            selector,
            namespace,
            at: asked.unwrap_or(0),
            news,
            ends: now + Duration::from_secs(timeout),
            next_bookmark: bookmarks.then(|| now + BOOKMARK_EVERY),
            tables_sent: 0,
            pending: None,
            done: false,
            call,
        };
        // No version, or 0, is "whatever you have now, then go on".
        let initial = send_initial.unwrap_or(asked.unwrap_or(0) == 0);
        if initial {
            watch.send_initial(bookmarks && send_initial == Some(true));
        } else if asked.unwrap_or(0) == 0 {
            watch.at = watch.call.server.store.version();
        }
        Ok(watch)
    }

    fn send_initial(&mut self, mark_end: bool) {
        let snapshot = self
            .call
            .server
            .store
            .list(&self.call.def.key, self.namespace.as_deref());
        self.at = snapshot.version;
        let mut out = Vec::new();
        let matching = snapshot
            .objects
            .into_iter()
            .filter(|object| self.selector.matches(object));
        for object in matching.collect::<Vec<_>>() {
            self.write("ADDED", &object, &mut out);
        }
        if mark_end {
            self.write_bookmark(true, &mut out);
        }
        self.pending = (!out.is_empty()).then(|| out.into());
    }

    fn stream(self) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send {
        stream::unfold(self, |mut watch| async move {
            let bytes = watch.next().await?;
            Some((Ok(bytes), watch))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        if let Some(bytes) = self.pending.take() {
            return Some(bytes);
        }
        loop {
            if self.done {
                return None;
            }
            // Seen before the history is read, so that a change in between wakes it again.
            self.news.borrow_and_update();
            match self
                .call
                .server
                .store
                .changes_since(&self.call.def.key, self.at)
            {
                Err(compacted) => {
                    self.done = true;
                    let message = format!(
                        "too old resource version: {} ({})",
                        self.at, compacted.oldest
                    );
                    return Some(line(
                        &json!({"type": "ERROR", "object": ApiError::expired(message).status()}),
                    ));
                }
                Ok(changes) => {
                    if let Some(bytes) = self.write_changes(&changes) {
                        return Some(bytes);
                    }
                }
            }
            let bookmark_at = self.next_bookmark.unwrap_or(self.ends);
            tokio::select! {
                changed = self.news.changed() => if changed.is_err() { return None },
                () = tokio::time::sleep_until(self.ends) => return None,
                () = tokio::time::sleep_until(bookmark_at), if self.next_bookmark.is_some() => {
                    self.next_bookmark = Some(Instant::now() + BOOKMARK_EVERY);
                    // The counter is read before the history: nothing between them is skipped.
                    let version = self.call.server.store.version();
                    if self.call.server.store.changes_since(&self.call.def.key, self.at).is_ok_and(|c| c.is_empty()) {
                        self.at = self.at.max(version);
                        let mut out = Vec::new();
                        self.write_bookmark(false, &mut out);
                        return Some(out.into());
                    }
                }
            }
        }
    }

    fn write_changes(&mut self, changes: &[Change]) -> Option<Bytes> {
        let mut out = Vec::new();
        for change in changes {
            self.at = change.version;
            if self
                .namespace
                .as_deref()
                .is_some_and(|namespace| namespace != meta::namespace(&change.object))
            {
                continue;
            }
            self.write_change(change, &mut out);
        }
        (!out.is_empty()).then(|| out.into())
    }

    /// An object that comes into the selection is added to it, whatever happened to it.
    fn write_change(&mut self, change: &Change, out: &mut Vec<u8>) {
        let before = change
            .previous
            .as_ref()
            .is_some_and(|previous| self.selector.matches(previous));
        let after = change.kind != ChangeKind::Deleted && self.selector.matches(&change.object);
        match (before, after) {
            (false, true) => self.write("ADDED", &change.object, out),
            (true, true) => self.write("MODIFIED", &change.object, out),
            (true, false) if change.kind == ChangeKind::Deleted => {
                self.write("DELETED", &change.object, out)
            }
            (true, false) => {
                // The watcher gets the last state it could see, at the version of the change.
                let Some(previous) = &change.previous else {
                    return;
                };
                let mut last = (**previous).clone();
                meta::metadata(&mut last)
                    .insert("resourceVersion".into(), change.version.to_string().into());
                self.write("DELETED", &Arc::new(last), out);
            }
            (false, false) => {}
        }
    }

    fn write(&mut self, kind: &str, object: &Arc<Value>, out: &mut Vec<u8>) {
        let shown = match self.call.form() {
            Form::Whole => self.call.outward(object),
            Form::Metadata => table::partial(object),
            Form::Table => {
                let version = meta::resource_version(object).parse().unwrap_or(self.at);
                let mut table = table::of(
                    &self.call.def,
                    std::slice::from_ref(object),
                    &self.call.query,
                    version,
                );
                if self.tables_sent > 0 {
                    // Only the first table of a watch names its columns.
                    table["columnDefinitions"] = Value::Null;
                }
                self.tables_sent += 1;
                table
            }
        };
        out.extend_from_slice(&line(&json!({"type": kind, "object": shown})));
    }

    fn write_bookmark(&mut self, initial_end: bool, out: &mut Vec<u8>) {
        let mut object = bookmark(&self.call.def, self.at, initial_end);
        match self.call.form() {
            Form::Whole => {}
            Form::Metadata => {
                meta::set_type(&mut object, "meta.k8s.io/v1", "PartialObjectMetadata")
            }
            Form::Table => {
                object = json!({
                    "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": self.at.to_string()},
                    "columnDefinitions": [], "rows": [{"cells": [], "object": object}],
                })
            }
        }
        out.extend_from_slice(&line(&json!({"type": "BOOKMARK", "object": object})));
    }
}

fn line(event: &Value) -> Bytes {
    let mut text = event.to_string();
    text.push('\n');
    text.into()
}
