//! Which migrations are at work in this process, which wait for their turn, and which rest after a
//! failure. Nothing is awaited here, and no request goes out.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::turn::{Limits, Obstacle, Place, may_begin};
use crate::api::StatefulMigration;

/// The first pause after a failure; each one after it is twice as long.
const FIRST_REST: Duration = Duration::from_secs(1);

/// The longest pause after a failure.
const LONGEST_REST: Duration = Duration::from_secs(120);

/// Namespace and name of a resource.
pub(super) type Key = (String, String);

/// Where a migration stands in the line of those that wait: the oldest is first.
type InLine = (Timestamp, Key);

/// The migrations of this process.
pub(super) struct Crew {
    limits: Limits,
    state: Mutex<State>,
    /// Has a resource looked at again.
    wake: UnboundedSender<ObjectRef<StatefulMigration>>,
}

#[derive(Default)]
struct State {
    at_work: HashMap<Key, Work>,
    waiting: BTreeMap<InLine, Place>,
    resting: HashMap<Key, Rest>,
    /// About to ask for their turn, which is kept free for them meanwhile.
    asking: HashMap<Key, Place>,
    /// No more is begun.
    closed: bool,
}

struct Work {
    stop: CancellationToken,
    place: Place,
}

/// A migration that has failed and is tried again.
#[derive(Debug, Clone, Copy)]
struct Rest {
    failures: u32,
    until: Instant,
}

/// What came of the wish to begin.
#[derive(Debug)]
pub(super) enum Turn {
    /// It is at work from now on, until [`Crew::ended`].
    Now(CancellationToken),
    /// It waits, and is looked at again when its turn comes.
    Waits(Obstacle),
    /// It has failed a moment ago, and rests for so long.
    Rests(Duration),
    /// It is at work already, or nothing is begun any more.
    Not,
}

/// Whether a turn is kept free.
pub(super) enum Free {
    /// It is, for as long as this lives.
    Kept(Kept),
    /// It was before.
    Already,
    /// There is none.
    Not,
}

/// A turn that is kept free.
pub(super) struct Kept {
    crew: Arc<Crew>,
    key: Key,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut state = self.crew.state();
        // It was taken, as a rule.
        if state.asking.remove(&self.key).is_some() {
            self.crew.wake_next(&state);
        }
    }
}

impl Crew {
    pub(super) fn new(limits: Limits, wake: UnboundedSender<ObjectRef<StatefulMigration>>) -> Self {
        Self {
            limits,
            state: Mutex::default(),
            wake,
        }
    }

    pub(super) fn is_at_work(&self, key: &Key) -> bool {
        self.state().at_work.contains_key(key)
    }

    /// How many are at work, and how many wait.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.at_work.len(), state.waiting.len())
    }

    /// Keeps the turn of a migration free while its place is completed, if it could begin now as far as
    /// its place is known: saves a look for those that have to wait in any case.
    pub(super) fn keep_free(
        self: &Arc<Self>,
        key: &Key,
        created: Timestamp,
        place: &Place,
    ) -> Free {
        let mut state = self.state();
        state.forget_earlier(key, created);
        if state.asking.contains_key(key) {
            return Free::Already;
        }
        let line = (created, key.clone());
        if state.may_begin(&line, place, self.limits).is_err() {
            return Free::Not;
        }
        state.asking.insert(key.clone(), place.clone());
        Free::Kept(Kept {
            crew: Arc::clone(self),
            key: key.clone(),
        })
    }

    /// How long it rests after a failure.
    pub(super) fn rest(&self, key: &Key) -> Option<Duration> {
        self.state().rest(key)
    }

    /// Asks for the turn of a migration. One that is `begun` has it at once: its gate may be closed,
    /// and its application may be waiting.
    pub(super) fn ask(&self, key: &Key, created: Timestamp, place: Place, begun: bool) -> Turn {
        let mut state = self.state();
        state.forget_earlier(key, created);
        if state.closed || state.at_work.contains_key(key) {
            return Turn::Not;
        }
        if let Some(rest) = state.rest(key) {
            return Turn::Rests(rest);
        }
        let line = (created, key.clone());
        if !begun && let Err(obstacle) = state.may_begin(&line, &place, self.limits) {
            state.waiting.insert(line, place);
            // The turn that it was woken for is another one's then.
            self.wake_next(&state);
            return Turn::Waits(obstacle);
        }
        state.waiting.remove(&line);
        state.asking.remove(key);
        let stop = CancellationToken::new();
        let work = Work {
            stop: stop.clone(),
            place,
        };
        state.at_work.insert(key.clone(), work);
        Turn::Now(stop)
    }

    /// Rolls a migration back that is at work.
    pub(super) fn stop(&self, key: &Key) {
        if let Some(work) = self.state().at_work.get(key) {
            work.stop.cancel();
        }
    }

    /// A node of a migration has become known.
    pub(super) fn is_bound_for(&self, key: &Key, node: &str) {
        if let Some(work) = self.state().at_work.get_mut(key) {
            work.place.add_node(node);
        }
    }

    /// A migration is not at work any more. With `look_again` it is looked at once more, and rests
    /// before it is tried again, if by what is seen then it still has to be.
    pub(super) fn ended(&self, key: &Key, look_again: bool) {
        let mut state = self.state();
        state.at_work.remove(key);
        // Those that were not looked at again have ended, and left the watch before they came to rest.
        let now = Instant::now();
        state
            .resting
            .retain(|_, rest| now < rest.until + LONGEST_REST);
        if look_again {
            let failures = state.resting.get(key).map_or(0, |rest| rest.failures);
            let until = now + rest_after(failures);
            let failures = failures.saturating_add(1);
            state.resting.insert(key.clone(), Rest { failures, until });
            self.look_at(key);
        } else {
            state.resting.remove(key);
        }
        self.wake_next(&state);
    }

    /// Forgets a resource that is gone or has ended: its turn, if it had been woken for it, is another
    /// one's.
    pub(super) fn forget(&self, key: &Key) {
        let mut state = self.state();
        state.resting.remove(key);
        state.waiting.retain(|(_, waiting), _| waiting != key);
        self.wake_next(&state);
    }

    /// One of which nothing is wanted any more does not wait: nobody stands behind it.
    pub(super) fn leaves_line(&self, key: &Key, created: Timestamp) {
        let mut state = self.state();
        if state.waiting.remove(&(created, key.clone())).is_some() {
            self.wake_next(&state);
        }
    }

    /// Begins nothing more.
    pub(super) fn close(&self) {
        self.state().closed = true;
    }

    fn wake_next(&self, state: &State) {
        for next in state.next(self.limits) {
            self.look_at(&next);
        }
    }

    /// Has a resource looked at again.
    pub(super) fn look_at(&self, (namespace, name): &Key) {
        // Nobody listens any more when the controller ends.
        let _ = self.wake.send(ObjectRef::new(name).within(namespace));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds it can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// One that waited, was deleted, and has been made again under its name would stand before itself for
    /// ever: nobody is told of the deletion of one that has no finalizer yet.
    fn forget_earlier(&mut self, key: &Key, created: Timestamp) {
        self.waiting
            .retain(|(made, waiting), _| waiting != key || *made == created);
    }

    fn rest(&self, key: &Key) -> Option<Duration> {
        let until = self.resting.get(key)?.until;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Whether it is its turn: beside what is under way, and behind those that have waited for longer and
    /// are about to be looked at. Else a migration of the same pod would overtake the one before it, and
    /// find no pod where that one was to bring it.
    fn may_begin(&self, line: &InLine, place: &Place, limits: Limits) -> Result<(), Obstacle> {
        let mut before: Vec<&Place> = self.under_way(Some(&line.1)).collect();
        self.line_up(&mut before, Some(line), limits);
        may_begin(place, before.into_iter(), limits)
    }

    /// Places that are taken, or kept free for another one than `own`.
    fn under_way(&self, own: Option<&Key>) -> impl Iterator<Item = &Place> + Clone {
        let at_work = self.at_work.values().map(|it| &it.place);
        let asking = self.asking.iter().filter(move |(key, _)| own != Some(*key));
        at_work.chain(asking.map(|(_, place)| place))
    }

    /// Those of the waiting whose turn it is, oldest first.
    fn next(&self, limits: Limits) -> Vec<Key> {
        let mut under_way: Vec<&Place> = self.under_way(None).collect();
        self.line_up(&mut under_way, None, limits)
    }

    /// Adds those of the waiting whose turn it is to what is under way, oldest first, up to one.
    fn line_up<'a>(
        &'a self,
        under_way: &mut Vec<&'a Place>,
        up_to: Option<&InLine>,
        limits: Limits,
    ) -> Vec<Key> {
        let mut next = Vec::new();
        for (line, place) in &self.waiting {
            if under_way.len() >= limits.at_once || up_to.is_some_and(|end| line >= end) {
                break;
            }
            if may_begin(place, under_way.iter().copied(), limits).is_ok() {
                under_way.push(place);
                next.push(line.1.clone());
            }
        }
        next
    }
}

/// How long a migration rests that has failed so many times before.
fn rest_after(failures: u32) -> Duration {
    FIRST_REST
        .saturating_mul(2_u32.saturating_pow(failures.min(10)))
        .min(LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;

    fn crew() -> (Crew, UnboundedReceiver<ObjectRef<StatefulMigration>>) {
        let (wake, woken) = unbounded_channel();
        let limits = Limits {
            at_once: 2,
            per_node: 2,
        };
        (Crew::new(limits, wake), woken)
    }

    fn key(name: &str) -> Key {
        ("shop".to_owned(), name.to_owned())
    }

    fn place(name: &str) -> Place {
        Place {
            namespace: "shop".to_owned(),
            pods: vec![format!("pod-of-{name}")],
            nodes: Vec::new(),
        }
    }

    fn ask(crew: &Crew, name: &str, begun: bool) -> Turn {
        crew.ask(&key(name), Timestamp::UNIX_EPOCH, place(name), begun)
    }

    fn keep_free(crew: &Arc<Crew>, name: &str) -> Free {
        crew.keep_free(&key(name), Timestamp::UNIX_EPOCH, &place(name))
    }

    #[test]
    fn nobody_overtakes_one_of_the_same_pod_that_has_waited_for_longer() {
        let (crew, mut woken_by) = crew();
        let crew = Arc::new(crew);
        let made = |at: i64| Timestamp::from_second(at).expect("it is a time");
        let of_one_pod = || place("there-and-back");
        let ask = |name: &str, at| crew.ask(&key(name), made(at), of_one_pod(), false);
        assert!(matches!(ask("first", 1), Turn::Now(_)));
        assert!(matches!(ask("second", 2), Turn::Waits(_)));
        assert!(matches!(ask("third", 3), Turn::Waits(_)));
        crew.ended(&key("first"), false);
        assert_eq!(woken(&mut woken_by), ["second"]);
        // Something else has the third one looked at before the second.
        let kept = crew.keep_free(&key("third"), made(3), &of_one_pod());
        assert!(matches!(kept, Free::Not));
        assert!(matches!(ask("third", 3), Turn::Waits(Obstacle::Pod(_))));
        assert_eq!(woken(&mut woken_by), ["second"]);
        assert!(matches!(ask("second", 2), Turn::Now(_)));
        // One that nobody stands before has room beside it.
        let other = crew.ask(&key("other"), made(4), place("other"), false);
        assert!(matches!(other, Turn::Now(_)));
    }

    #[test]
    fn nobody_stands_behind_an_earlier_one_of_its_own_name() {
        let (crew, mut woken_by) = crew();
        let crew = Arc::new(crew);
        let made = |at: i64| Timestamp::from_second(at).expect("it is a time");
        for name in ["a", "b"] {
            assert!(matches!(ask(&crew, name, false), Turn::Now(_)));
        }
        let again = |at| crew.ask(&key("again"), made(at), place("again"), false);
        assert!(matches!(again(1), Turn::Waits(_)));
        crew.ended(&key("a"), false);
        assert_eq!(woken(&mut woken_by), ["again"]);
        let Free::Kept(kept) = crew.keep_free(&key("again"), made(2), &place("again")) else {
            panic!("there is room");
        };
        assert!(matches!(again(2), Turn::Now(_)));
        drop(kept);
        assert_eq!(crew.counts(), (2, 0));
    }

    #[test]
    fn nobody_stands_behind_one_that_wants_nothing_any_more() {
        let (crew, mut woken_by) = crew();
        for name in ["a", "b", "c", "d"] {
            ask(&crew, name, false);
        }
        crew.ended(&key("a"), false);
        assert_eq!(woken(&mut woken_by), ["c"]);
        crew.leaves_line(&key("c"), Timestamp::UNIX_EPOCH);
        assert_eq!(woken(&mut woken_by), ["d"]);
        crew.leaves_line(&key("c"), Timestamp::UNIX_EPOCH);
        assert_eq!(woken(&mut woken_by), Vec::<String>::new());
        assert!(matches!(ask(&crew, "d", false), Turn::Now(_)));
    }

    #[test]
    fn a_turn_that_is_kept_free_is_nobody_elses() {
        let (crew, mut woken_by) = crew();
        let crew = Arc::new(crew);
        let Free::Kept(first) = keep_free(&crew, "first") else {
            panic!("there is room");
        };
        assert!(matches!(keep_free(&crew, "first"), Free::Already));
        assert!(matches!(ask(&crew, "second", false), Turn::Now(_)));
        assert!(matches!(ask(&crew, "third", false), Turn::Waits(_)));
        assert!(matches!(keep_free(&crew, "third"), Free::Not));
        assert_eq!(woken(&mut woken_by), Vec::<String>::new());
        assert!(matches!(ask(&crew, "first", false), Turn::Now(_)));
        drop(first);
        assert_eq!(woken(&mut woken_by), Vec::<String>::new());

        crew.ended(&key("first"), false);
        assert_eq!(woken(&mut woken_by), ["third"]);
        let Free::Kept(given_up) = keep_free(&crew, "fourth") else {
            panic!("there is room");
        };
        drop(given_up);
        assert_eq!(woken(&mut woken_by), ["third"], "it is free again");
    }

    #[test]
    fn a_kept_turn_that_is_not_taken_is_another_ones() {
        let (crew, mut woken_by) = crew();
        let crew = Arc::new(crew);
        assert!(matches!(ask(&crew, "at-work", false), Turn::Now(_)));
        let Free::Kept(kept) = keep_free(&crew, "rests") else {
            panic!("there is room");
        };
        assert!(matches!(ask(&crew, "next", false), Turn::Waits(_)));
        // Another look has begun and ended it meanwhile.
        let failed = Rest {
            failures: 0,
            until: Instant::now() + LONGEST_REST,
        };
        crew.state().resting.insert(key("rests"), failed);
        assert!(matches!(ask(&crew, "rests", false), Turn::Rests(_)));
        woken(&mut woken_by);
        drop(kept);
        assert_eq!(woken(&mut woken_by), ["next"]);
    }

    fn woken(woken: &mut UnboundedReceiver<ObjectRef<StatefulMigration>>) -> Vec<String> {
        std::iter::from_fn(|| woken.try_recv().ok().map(|it| it.name)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_woken_when_its_turn_comes() {
        let (crew, mut wakes) = crew();
        assert!(matches!(ask(&crew, "a", false), Turn::Now(_)));
        assert!(matches!(ask(&crew, "b", false), Turn::Now(_)));
        assert!(matches!(ask(&crew, "c", false), Turn::Waits(_)));
        assert!(matches!(ask(&crew, "d", false), Turn::Waits(_)));
        assert!(matches!(ask(&crew, "a", false), Turn::Not));
        assert_eq!(crew.counts(), (2, 2));
        crew.ended(&key("a"), false);
        assert_eq!(woken(&mut wakes), ["c"]);
        crew.forget(&key("c"));
        assert_eq!(woken(&mut wakes), ["d"]);
        crew.ended(&key("b"), false);
        assert_eq!(woken(&mut wakes), ["d"]);
    }

    /// Else a free turn would wait for the end of another migration, and where none is under way for
    /// ever.
    #[tokio::test(start_paused = true)]
    async fn the_turn_of_one_that_is_gone_is_the_next_one_s() {
        let (crew, mut wakes) = crew();
        for name in ["a", "b", "c", "d"] {
            ask(&crew, name, false);
        }
        crew.ended(&key("a"), false);
        assert_eq!(woken(&mut wakes), ["c"]);
        crew.forget(&key("c"));
        assert_eq!(woken(&mut wakes), ["d"]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_to_wait_after_all_lets_the_next_one_by() {
        let (wake, mut wakes) = unbounded_channel();
        let limits = Limits {
            at_once: 3,
            per_node: 1,
        };
        let crew = Crew::new(limits, wake);
        let at = |name: &str, nodes: &[&str]| {
            let place = Place {
                namespace: "shop".to_owned(),
                pods: vec![format!("pod-of-{name}")],
                nodes: nodes.iter().map(|it| (*it).to_owned()).collect(),
            };
            crew.ask(&key(name), Timestamp::UNIX_EPOCH, place, false)
        };
        for (name, node) in [("a", "n"), ("b", "o"), ("c", "p")] {
            assert!(matches!(at(name, &[node]), Turn::Now(_)), "{name}");
        }
        for name in ["d", "e"] {
            assert!(matches!(at(name, &[]), Turn::Waits(_)), "{name}");
        }
        crew.ended(&key("c"), false);
        assert_eq!(woken(&mut wakes), ["d"]);
        // Its node was not known before.
        assert!(matches!(at("d", &["n"]), Turn::Waits(_)));
        assert_eq!(woken(&mut wakes), ["e"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_begun_does_not_wait() {
        let (crew, _wakes) = crew();
        for name in ["a", "b", "c"] {
            assert!(matches!(ask(&crew, name, true), Turn::Now(_)), "{name}");
        }
        assert!(matches!(ask(&crew, "d", false), Turn::Waits(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_always_fails_rests_longer_each_time() {
        let (crew, mut wakes) = crew();
        let mut rests = Vec::new();
        for _ in 0..9 {
            assert!(matches!(ask(&crew, "a", false), Turn::Now(_)));
            crew.ended(&key("a"), true);
            assert_eq!(woken(&mut wakes), ["a"]);
            let Turn::Rests(rest) = ask(&crew, "a", true) else {
                panic!("it has just failed");
            };
            rests.push(rest.as_secs());
            tokio::time::advance(rest).await;
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        assert!(matches!(ask(&crew, "a", false), Turn::Now(_)));
        crew.ended(&key("a"), false);
        assert!(matches!(ask(&crew, "a", false), Turn::Now(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_begins_after_the_end() {
        let (crew, _wakes) = crew();
        crew.close();
        assert!(matches!(ask(&crew, "a", true), Turn::Not));
    }
}
