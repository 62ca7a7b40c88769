//! The request log: who asked for what and what became of it. Bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use super::faults::Asked;

/// How many requests are remembered: a migration makes some hundreds, and an entry is about
/// 300 bytes.
const KEPT: usize = 20_000;

/// One request.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    n: u64,
    time: String,
    user: String,
    user_agent: String,
    verb: String,
    resource: String,
    path: String,
    /// Missing while the request is being answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
}

#[derive(Debug, Default)]
struct Entries {
    last: u64,
    kept: VecDeque<Entry>,
}

/// All requests lately.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    entries: Mutex<Entries>,
}

/// What `GET /sandbox/requests` answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// The number of the newest request.
    last: u64,
    /// How many of the requests asked for are forgotten.
    dropped: u64,
    /// Requests by `<verb> <resource>`.
    counts: BTreeMap<String, u64>,
    log: Vec<Entry>,
}

impl Report {
    /// The number of the newest request.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }
}

impl RequestLog {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a request down and returns its number.
    pub(crate) fn begin(&self, asked: &Asked) -> u64 {
        let info = &asked.info;
        let resource = if info.is_resource && !info.resource.is_empty() {
            info.resource_path()
        } else {
            info.path.clone()
        };
        let mut entries = self.lock();
        entries.last += 1;
        let n = entries.last;
        entries.kept.push_back(Entry {
            n,
            time: Timestamp::now().to_string(),
            user: asked.user.clone(),
            user_agent: asked.agent.clone(),
            verb: info.verb.clone(),
            resource,
            path: asked.target.clone(),
            code: None,
        });
        if entries.kept.len() > KEPT {
            entries.kept.pop_front();
        }
        n
    }

    /// Writes down how it was answered.
    pub(crate) fn end(&self, n: u64, code: u16) {
        let mut entries = self.lock();
        let first = entries.kept.front().map_or(0, |entry| entry.n);
        let at = n.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        if let Some(entry) = at.and_then(|at| entries.kept.get_mut(at)) {
            entry.code = Some(code);
        }
    }

    /// The requests after number `since`, of one user or all.
    pub(crate) fn report(&self, since: u64, user: Option<&str>) -> Report {
        let entries = self.lock();
        let first = entries
            .kept
            .front()
            .map_or(entries.last + 1, |entry| entry.n);
        let log: Vec<Entry> = entries
            .kept
            .iter()
            .filter(|entry| entry.n > since && user.is_none_or(|user| user == entry.user))
            .cloned()
            .collect();
        let mut counts = BTreeMap::new();
        for entry in &log {
            *counts
                .entry(format!("{} {}", entry.verb, entry.resource))
                .or_insert(0) += 1;
        }
        Report {
            last: entries.last,
            dropped: first.saturating_sub(since.saturating_add(1)),
            counts,
            log,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(user: &str) -> Asked {
        let mut asked = Asked::example("get", "/x");
        asked.info.is_resource = true;
        asked.info.resource = "pods".into();
        asked.user = user.into();
        asked
    }

    #[test]
    fn requests_are_counted_by_user() {
        let log = RequestLog::default();
        let first = log.begin(&asked("a"));
        log.begin(&asked("b"));
        log.end(first, 200);
        let report = log.report(0, Some("a"));
        assert_eq!(
            (report.last, report.counts["get pods"], report.log[0].code),
            (2, 1, Some(200))
        );
        assert_eq!(log.report(1, None).log.len(), 1);
    }

    #[test]
    fn the_log_is_bounded() {
        let log = RequestLog::default();
        for _ in 0..KEPT + 5 {
            log.begin(&asked("a"));
        }
        let report = log.report(0, None);
        assert_eq!((report.log.len(), report.dropped), (KEPT, 5));
    }
}
