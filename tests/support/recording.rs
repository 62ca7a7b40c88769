//! What was recorded of a namespace, and the questions that a test has about it. Pure: what
//! records is in `recorder`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

/// A pod at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodNow {
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// Kind and name of its controller, as `StatefulSet/worker`.
    pub(crate) owner: Option<String>,
    pub(crate) phase: String,
    pub(crate) ready: bool,
    pub(crate) terminating: bool,
    /// Of all its containers together.
    pub(crate) restarts: i32,
}

impl PodNow {
    /// Whether it has all these labels.
    pub(crate) fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels
            .iter()
            .all(|(key, value)| self.labels.get(*key).is_some_and(|found| found == value))
    }
}

/// An EndpointSlice at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SliceNow {
    pub(crate) name: String,
    pub(crate) service: String,
    /// The uids of the pods that are ready in it.
    pub(crate) ready: BTreeSet<String>,
}

/// How something is from a moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Pod(PodNow),
    /// The pod of that uid is gone.
    PodGone(String),
    Slice(SliceNow),
    /// The slice of that name is gone.
    SliceGone(String),
}

/// One change. The versions of all objects of a cluster are in the order of their changes; the
/// time is when this process learned of it.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) at: Timestamp,
    pub(crate) what: What,
}

/// A pod from its beginning to its end.
#[derive(Clone, Debug)]
pub(crate) struct PodLife {
    /// As it was last.
    pub(crate) last: PodNow,
    /// It was there when the recording began.
    pub(crate) before: bool,
    pub(crate) seen: Timestamp,
    pub(crate) deletion_asked: Option<Timestamp>,
    pub(crate) gone: Option<Timestamp>,
    /// Restarts during the recording.
    pub(crate) restarts: i32,
    /// When it was ready first.
    pub(crate) ready: Option<Timestamp>,
}

/// The least and the greatest number of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) least: usize,
    pub(crate) greatest: usize,
}

/// Which pods are ready behind a service, by uid.
pub(crate) type Ready = BTreeSet<String>;

/// Everything that was seen of a namespace's pods and endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    pub(crate) namespace: String,
    pub(crate) began: Timestamp,
    pub(crate) ended: Timestamp,
    /// How it was at the beginning.
    pub(crate) initial: Vec<What>,
    /// What came then, in its order.
    pub(crate) changes: Vec<Change>,
    /// How often history was forgotten before it was read: then something may have come and gone
    /// unseen.
    pub(crate) gaps: usize,
}

#[derive(Default)]
struct State {
    pods: BTreeMap<String, PodNow>,
    slices: BTreeMap<String, SliceNow>,
}

impl State {
    fn apply(&mut self, what: &What) {
        match what {
            What::Pod(pod) => drop(self.pods.insert(pod.uid.clone(), pod.clone())),
            What::PodGone(uid) => drop(self.pods.remove(uid)),
            What::Slice(slice) => drop(self.slices.insert(slice.name.clone(), slice.clone())),
            What::SliceGone(name) => drop(self.slices.remove(name)),
        }
    }

    fn behind(&self, service: &str) -> Ready {
        let slices = self
            .slices
            .values()
            .filter(|slice| slice.service == service);
        slices
            .flat_map(|slice| slice.ready.iter().cloned())
            .collect()
    }
}

impl Recording {
    fn beginning(&self) -> State {
        let mut state = State::default();
        self.initial.iter().for_each(|what| state.apply(what));
        state
    }

    /// Every pod that was ever there, in the order in which they were seen.
    pub(crate) fn pods(&self) -> Vec<PodLife> {
        let mut lives: Vec<PodLife> = Vec::new();
        let initial = self.initial.iter().map(|what| (true, self.began, what));
        let later = self
            .changes
            .iter()
            .map(|change| (false, change.at, &change.what));
        for (before, at, what) in initial.chain(later) {
            match what {
                What::Pod(pod) => {
                    let found = lives.iter().position(|life| life.last.uid == pod.uid);
                    let index = found.unwrap_or_else(|| {
                        lives.push(PodLife::new(pod.clone(), before, at));
                        lives.len() - 1
                    });
                    lives[index].go_on(pod, at);
                }
                What::PodGone(uid) => {
                    let life = lives.iter_mut().find(|life| life.last.uid == *uid);
                    if let Some(life) = life {
                        life.gone = Some(at);
                    }
                }
                What::Slice(_) | What::SliceGone(_) => {}
            }
        }
        lives
    }

    /// The pods that came during the recording.
    pub(crate) fn created(&self) -> Vec<PodLife> {
        self.pods().into_iter().filter(|pod| !pod.before).collect()
    }

    /// The pods that went during the recording.
    pub(crate) fn deleted(&self) -> Vec<PodLife> {
        self.pods()
            .into_iter()
            .filter(|pod| pod.gone.is_some())
            .collect()
    }

    /// The pods that had that name, one after the other.
    pub(crate) fn named(&self, name: &str) -> Vec<PodLife> {
        self.pods()
            .into_iter()
            .filter(|pod| pod.last.name == name)
            .collect()
    }

    /// The restarts of each pod during the recording, by uid; pods without any are not in it.
    pub(crate) fn restarts(&self) -> BTreeMap<String, i32> {
        let pods = self.pods().into_iter().filter(|pod| pod.restarts > 0);
        pods.map(|pod| (pod.last.uid, pod.restarts)).collect()
    }

    /// How many pods there were at least and at most, at any one moment, for which this holds.
    pub(crate) fn count(&self, mut holds: impl FnMut(&PodNow) -> bool) -> Range {
        let mut state = self.beginning();
        let mut count = |state: &State| state.pods.values().filter(|pod| holds(pod)).count();
        let first = count(&state);
        let mut range = Range {
            least: first,
            greatest: first,
        };
        for change in &self.changes {
            state.apply(&change.what);
            let now = count(&state);
            range = Range {
                least: range.least.min(now),
                greatest: range.greatest.max(now),
            };
        }
        range
    }

    /// How many pods with these labels there were that nobody had asked to go.
    pub(crate) fn matching(&self, labels: &[(&str, &str)]) -> Range {
        self.count(|pod| !pod.terminating && pod.has(labels))
    }

    /// Which pods were ready endpoints of a service, from when on.
    pub(crate) fn endpoints(&self, service: &str) -> Vec<(Timestamp, Ready)> {
        let mut state = self.beginning();
        let mut timeline = vec![(self.began, state.behind(service))];
        for change in &self.changes {
            state.apply(&change.what);
            let ready = state.behind(service);
            if timeline.last().is_none_or(|(_, last)| *last != ready) {
                timeline.push((change.at, ready));
            }
        }
        timeline
    }

    /// Which pods were ready endpoints of a service at that moment.
    pub(crate) fn ready_at(&self, service: &str, at: Timestamp) -> Ready {
        let timeline = self.endpoints(service);
        let last = timeline.into_iter().rfind(|(since, _)| *since <= at);
        last.map(|(_, ready)| ready).unwrap_or_default()
    }

    /// The services that had endpoints.
    fn services(&self) -> BTreeSet<&str> {
        let changes = self.changes.iter().map(|change| &change.what);
        let all = self.initial.iter().chain(changes);
        all.filter_map(|what| match what {
            What::Slice(slice) => Some(slice.service.as_str()),
            What::Pod(_) | What::PodGone(_) | What::SliceGone(_) => None,
        })
        .collect()
    }

    fn seconds(&self, at: Timestamp) -> f64 {
        at.duration_since(self.began).as_secs_f64()
    }
}

impl PodLife {
    fn new(pod: PodNow, before: bool, at: Timestamp) -> Self {
        Self {
            last: PodNow {
                // What it has when it is seen first and was not there before is all its own.
                restarts: if before { pod.restarts } else { 0 },
                ..pod
            },
            before,
            seen: at,
            deletion_asked: None,
            gone: None,
            restarts: 0,
            ready: None,
        }
    }

    fn go_on(&mut self, pod: &PodNow, at: Timestamp) {
        self.restarts += (pod.restarts - self.last.restarts).max(0);
        self.ready = self.ready.or(pod.ready.then_some(at));
        self.deletion_asked = self.deletion_asked.or(pod.terminating.then_some(at));
        self.last = pod.clone();
    }
}

/// For a test that failed: what happened, line by line.
impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.seconds(self.ended);
        writeln!(
            f,
            "namespace {}, recorded for {length:.2} s:",
            self.namespace
        )?;
        if self.gaps > 0 {
            writeln!(
                f,
                "  with {} gaps, in which anything may have happened",
                self.gaps
            )?;
        }
        let mut state = State::default();
        let names: BTreeMap<_, _> = self
            .pods()
            .into_iter()
            .map(|pod| (pod.last.uid, pod.last.name))
            .collect();
        let shown = |uid: &str| {
            let name = names.get(uid).map_or("?", String::as_str);
            format!("{name} ({})", uid.get(..8).unwrap_or(uid))
        };
        let initial = self.initial.iter().map(|what| (self.began, what));
        let later = self.changes.iter().map(|change| (change.at, &change.what));
        let services = self.services();
        for (at, what) in initial.chain(later) {
            let behind = |state: &State| {
                services
                    .iter()
                    .map(|service| state.behind(service))
                    .collect::<Vec<_>>()
            };
            let (old, before) = (behind(&state), pod_of(&state, what));
            state.apply(what);
            let mut lines = pod_lines(before.as_ref(), pod_of(&state, what).as_ref(), what);
            for ((service, old), new) in services.iter().zip(old).zip(behind(&state)) {
                if old != new {
                    let ready: Vec<_> = new.iter().map(|uid| shown(uid)).collect();
                    lines.push((
                        None,
                        format!("service {service}: [{}] ready", ready.join(", ")),
                    ));
                }
            }
            for (uid, line) in lines {
                let who = uid.map_or_else(String::new, |uid| format!("{} ", shown(&uid)));
                writeln!(f, "  {:7.2}  {who}{line}", self.seconds(at))?;
            }
        }
        Ok(())
    }
}

fn pod_of(state: &State, what: &What) -> Option<PodNow> {
    match what {
        What::Pod(pod) => state.pods.get(&pod.uid).cloned(),
        What::PodGone(uid) => state.pods.get(uid).cloned(),
        What::Slice(_) | What::SliceGone(_) => None,
    }
}

/// What is worth a line about a pod: the uid that it is of, and the words.
fn pod_lines(
    before: Option<&PodNow>,
    now: Option<&PodNow>,
    what: &What,
) -> Vec<(Option<String>, String)> {
    let Some(now) = now else {
        return match what {
            What::PodGone(uid) => vec![(Some(uid.clone()), "is gone".to_owned())],
            What::Pod(_) | What::Slice(_) | What::SliceGone(_) => Vec::new(),
        };
    };
    let labels = |pod: &PodNow| {
        let labels = pod
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        labels.collect::<Vec<_>>().join(",")
    };
    let owner = |pod: &PodNow| pod.owner.clone().unwrap_or_else(|| "nobody".to_owned());
    let mut lines = Vec::new();
    if before.is_none() {
        lines.push(format!("is there: {}, of {}", labels(now), owner(now)));
    }
    let old = before.cloned().unwrap_or_else(|| PodNow {
        labels: now.labels.clone(),
        owner: now.owner.clone(),
        ..PodNow::default()
    });
    let mut say = |changed: bool, line: String| {
        if changed {
            lines.push(line);
        }
    };
    say(old.node != now.node, format!("is on {}", now.node));
    say(
        old.labels != now.labels,
        format!("has the labels {}", labels(now)),
    );
    say(old.owner != now.owner, format!("belongs to {}", owner(now)));
    say(old.phase != now.phase, format!("is {}", now.phase));
    let ready = if now.ready {
        "is ready"
    } else {
        "is not ready any more"
    };
    say(old.ready != now.ready, ready.to_owned());
    say(
        old.restarts != now.restarts,
        format!("has restarted {} times", now.restarts),
    );
    say(old.terminating != now.terminating, "is to go".to_owned());
    lines
        .into_iter()
        .map(|line| (Some(now.uid.clone()), line))
        .collect()
}
