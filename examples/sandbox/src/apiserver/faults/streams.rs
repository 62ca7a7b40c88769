//! The answers that are still being sent, watches and followed logs, and forwarded ports. They can be cut
//! in mid-stream, as by an API server that goes down or a load balancer that has had enough.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::BoxError;
use axum::body::{Body, BodyDataStream};
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{Asked, Matcher};

/// The connection ends without an answer, or in the middle of one.
#[derive(Debug, thiserror::Error)]
#[error("cut by an ordered fault")]
pub(crate) struct Cut;

#[derive(Debug, Default)]
struct Open {
    last: u64,
    streams: HashMap<u64, (Asked, CancellationToken)>,
}

/// The open streams; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams(Arc<Mutex<Open>>);

impl Streams {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is on the list until the entry is dropped, and ends with the token.
    pub(crate) fn enter(&self, asked: Asked) -> (CancellationToken, Entry) {
        let cut = CancellationToken::new();
        let mut open = self.lock();
        open.last += 1;
        let id = open.last;
        open.streams.insert(id, (asked, cut.clone()));
        drop(open);
        let entry = Entry {
            streams: self.clone(),
            id,
        };
        (cut, entry)
    }

    /// The body, which can be cut from now on until it ends.
    pub(crate) fn track(&self, asked: Asked, body: Body) -> Body {
        let (cut, entry) = self.enter(asked);
        let tracked = Tracked {
            frames: body.into_data_stream(),
            cut,
            _entry: entry,
        };
        Body::from_stream(stream::unfold(Some(tracked), |tracked| async {
            let mut tracked = tracked?;
            tokio::select! {
                biased;
                () = tracked.cut.cancelled() => Some((Err(BoxError::from(Cut)), None)),
                frame = tracked.frames.next() => {
                    frame.map(|frame| (frame.map_err(BoxError::from), Some(tracked)))
                }
            }
        }))
    }

    /// Cuts those that are meant and returns how many they were.
    pub(crate) fn cut(&self, matcher: &Matcher) -> usize {
        let open = self.lock();
        let meant = open
            .streams
            .values()
            .filter(|(asked, _)| matcher.is_for(asked));
        meant.map(|(_, cut)| cut.cancel()).count()
    }
}

struct Tracked {
    frames: BodyDataStream,
    cut: CancellationToken,
    _entry: Entry,
}

/// Takes the stream off the list when it is not sent any more.
pub(crate) struct Entry {
    streams: Streams,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.streams.lock().streams.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::FaultMatch;
    use super::*;

    fn any() -> Matcher {
        Matcher::new(FaultMatch::default()).expect("no path")
    }

    #[tokio::test]
    async fn what_has_been_sent_is_not_cut() {
        let streams = Streams::default();
        let asked = Asked::example("watch", "/api/v1/pods");
        let body = streams.track(asked, Body::from("all of it"));
        let sent: Vec<_> = body.into_data_stream().collect().await;
        assert_eq!(sent.len(), 1);
        assert_eq!(streams.cut(&any()), 0);
    }

    #[tokio::test]
    async fn only_those_that_are_meant_are_cut() {
        let streams = Streams::default();
        let mut open = ["/api/v1/pods", "/api/v1/nodes"].map(|path| {
            let endless = Body::from_stream(stream::pending::<Result<&str, BoxError>>());
            streams
                .track(Asked::example("watch", path), endless)
                .into_data_stream()
        });
        let nodes = FaultMatch {
            path: Some("/nodes$".to_owned()),
            ..FaultMatch::default()
        };
        assert_eq!(streams.cut(&Matcher::new(nodes).expect("a path")), 1);
        assert!(open[1].next().await.is_some_and(|end| end.is_err()));
        assert!(open[1].next().await.is_none());
        assert_eq!(streams.cut(&any()), 1, "the other one is still open");
        assert!(open[0].next().await.is_some_and(|end| end.is_err()));
    }
}
