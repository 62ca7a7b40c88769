//! The objects, their versions and the history of their changes, all in memory.
//!
//! One lock over everything: a request holds it for a few map operations, and one counter gives
//! every change its resourceVersion, so the order of versions is the order of changes. A change
//! is in the history before anybody can read its object, so that a list at version N followed
//! by a watch from N misses nothing. Not here: any rule about objects.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::meta;

/// Namespace (empty for cluster scope) and name.
pub(crate) type ObjectKey = (String, String);

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// One change of one object. For a deletion `object` is the last state with the version of
/// the deletion.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) kind: ChangeKind,
    pub(crate) object: Arc<Value>,
    pub(crate) previous: Option<Arc<Value>>,
}

/// Why a write did not happen.
#[derive(Debug)]
pub(crate) enum WriteError {
    Exists,
    /// The object is not the one the caller read.
    Stale,
    NotFound,
}

/// A change with the resource it belongs to, as the garbage collector gets it.
#[derive(Debug, Clone)]
pub(crate) struct TappedChange {
    pub(crate) key: Arc<str>,
    pub(crate) change: Change,
}

#[derive(Debug)]
struct Collection {
    objects: BTreeMap<ObjectKey, Arc<Value>>,
    history: VecDeque<Change>,
    /// The version up to which history is forgotten.
    compacted: u64,
    news: watch::Sender<u64>,
}

impl Default for Collection {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            compacted: 0,
            news: watch::Sender::new(0),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    version: u64,
    collections: HashMap<Arc<str>, Collection>,
    taps: Vec<mpsc::UnboundedSender<TappedChange>>,
}

/// Everything the API server remembers.
#[derive(Debug)]
pub(crate) struct Store {
    state: Mutex<State>,
    /// How many changes each resource remembers for watches that come late.
    history: usize,
}

/// Objects at one version, and that version.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) version: u64,
    pub(crate) objects: Vec<Arc<Value>>,
}

/// The history asked for is forgotten.
#[derive(Debug)]
pub(crate) struct Compacted {
    pub(crate) oldest: u64,
}

impl Store {
    pub(crate) fn new(history: usize) -> Self {
        Self {
            state: Mutex::new(State {
                version: 1,
                ..State::default()
            }),
            history: history.max(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere cannot leave the maps half-changed in a way that matters more than
        // answering on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn version(&self) -> u64 {
        self.lock().version
    }

    /// Every change from now on, of every resource, in order.
    pub(crate) fn tap(&self) -> mpsc::UnboundedReceiver<TappedChange> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.lock().taps.push(sender);
        receiver
    }

    pub(crate) fn get(&self, key: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let state = self.lock();
        state
            .collections
            .get(key)?
            .objects
            .get(&(namespace.to_owned(), name.to_owned()))
            .cloned()
    }

    pub(crate) fn list(&self, key: &str, namespace: Option<&str>) -> Snapshot {
        let state = self.lock();
        let objects = state
            .collections
            .get(key)
            .map(|c| c.select(namespace))
            .unwrap_or_default();
        Snapshot {
            version: state.version,
            objects,
        }
    }

    /// The objects as they were at that version; continued lists read these.
    pub(crate) fn list_at(
        &self,
        key: &str,
        namespace: Option<&str>,
        version: u64,
    ) -> Result<Vec<Arc<Value>>, Compacted> {
        let state = self.lock();
        let Some(collection) = state.collections.get(key) else {
            return Ok(Vec::new());
        };
        if version < collection.compacted {
            return Err(Compacted {
                oldest: collection.compacted,
            });
        }
        let mut objects = collection.objects.clone();
        for change in collection
            .history
            .iter()
            .rev()
            .take_while(|c| c.version > version)
        {
            let id = object_key(&change.object);
            match (&change.kind, &change.previous) {
                (ChangeKind::Added, _) => objects.remove(&id),
                (_, Some(previous)) => objects.insert(id, previous.clone()),
                (_, None) => None,
            };
        }
        Ok(objects
            .into_iter()
            .filter(|((ns, _), _)| namespace.is_none_or(|n| n == ns))
            .map(|(_, o)| o)
            .collect())
    }

    /// The changes after `version` and a receiver that wakes when there are more.
    pub(crate) fn changes_since(&self, key: &str, version: u64) -> Result<Vec<Change>, Compacted> {
        let state = self.lock();
        let Some(collection) = state.collections.get(key) else {
            return Ok(Vec::new());
        };
        if version < collection.compacted {
            return Err(Compacted {
                oldest: collection.compacted,
            });
        }
        let first = collection
            .history
            .partition_point(|change| change.version <= version);
        Ok(collection.history.iter().skip(first).cloned().collect())
    }

    /// Wakes at every change of that resource.
    pub(crate) fn subscribe(&self, key: &Arc<str>) -> watch::Receiver<u64> {
        self.lock()
            .collections
            .entry(key.clone())
            .or_default()
            .news
            .subscribe()
    }

    /// Puts a new object in, with a version of its own.
    pub(crate) fn create(&self, key: &Arc<str>, object: Value) -> Result<Arc<Value>, WriteError> {
        let mut state = self.lock();
        let id = object_key(&object);
        if state
            .collections
            .get(key)
            .is_some_and(|c| c.objects.contains_key(&id))
        {
            return Err(WriteError::Exists);
        }
        Ok(state.commit(key, ChangeKind::Added, object, None, self.history))
    }

    /// Replaces `old` by `object`, if `old` is still what is there. Writing what is there already
    /// makes no new version, as in a real cluster.
    pub(crate) fn replace(
        &self,
        key: &Arc<str>,
        old: &Arc<Value>,
        mut object: Value,
    ) -> Result<Arc<Value>, WriteError> {
        let mut state = self.lock();
        state.check_current(key, old)?;
        set_version(&mut object, meta::resource_version(old));
        if object == **old {
            return Ok(old.clone());
        }
        Ok(state.commit(
            key,
            ChangeKind::Modified,
            object,
            Some(old.clone()),
            self.history,
        ))
    }

    /// Takes `old` out, if it is still what is there; `last` is its last state.
    pub(crate) fn remove(
        &self,
        key: &Arc<str>,
        old: &Arc<Value>,
        last: Value,
    ) -> Result<Arc<Value>, WriteError> {
        let mut state = self.lock();
        state.check_current(key, old)?;
        Ok(state.commit(
            key,
            ChangeKind::Deleted,
            last,
            Some(old.clone()),
            self.history,
        ))
    }

    /// Forgets the history up to now, so that watches from older versions are told 410.
    pub(crate) fn compact(&self) {
        let mut state = self.lock();
        let version = state.version;
        for collection in state.collections.values_mut() {
            collection.history.clear();
            collection.compacted = version;
        }
    }
}

impl State {
    fn check_current(&self, key: &str, old: &Arc<Value>) -> Result<(), WriteError> {
        let current = self
            .collections
            .get(key)
            .and_then(|c| c.objects.get(&object_key(old)));
        match current {
            None => Err(WriteError::NotFound),
            Some(current) if Arc::ptr_eq(current, old) => Ok(()),
            Some(current) if meta::resource_version(current) == meta::resource_version(old) => {
                Ok(())
            }
            Some(_) => Err(WriteError::Stale),
        }
    }

    fn commit(
        &mut self,
        key: &Arc<str>,
        kind: ChangeKind,
        mut object: Value,
        previous: Option<Arc<Value>>,
        keep: usize,
    ) -> Arc<Value> {
        self.version += 1;
        let version = self.version;
        set_version(&mut object, &version.to_string());
        let id = object_key(&object);
        let object = Arc::new(object);
        let collection = self.collections.entry(key.clone()).or_default();
        match kind {
            ChangeKind::Deleted => collection.objects.remove(&id),
            ChangeKind::Added | ChangeKind::Modified => {
                collection.objects.insert(id, object.clone())
            }
        };
        let change = Change {
            version,
            kind,
            object: object.clone(),
            previous,
        };
        collection.history.push_back(change.clone());
        while collection.history.len() > keep {
            if let Some(oldest) = collection.history.pop_front() {
                collection.compacted = oldest.version;
            }
        }
        collection.news.send_replace(version);
        let tapped = TappedChange {
            key: key.clone(),
            change,
        };
        self.taps.retain(|tap| tap.send(tapped.clone()).is_ok());
        object
    }
}

impl Collection {
    fn select(&self, namespace: Option<&str>) -> Vec<Arc<Value>> {
        match namespace {
            None => self.objects.values().cloned().collect(),
            Some(ns) => self
                .objects
                .range((ns.to_owned(), String::new())..)
                .take_while(|((n, _), _)| n == ns)
                .map(|(_, object)| object.clone())
                .collect(),
        }
    }
}

/// Where an object is kept.
pub(crate) fn object_key(object: &Value) -> ObjectKey {
    (
        meta::namespace(object).to_owned(),
        meta::name(object).to_owned(),
    )
}

fn set_version(object: &mut Value, version: &str) {
    meta::metadata(object).insert("resourceVersion".into(), version.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(name: &str, value: i64) -> Value {
        json!({"metadata": {"name": name, "namespace": "a"}, "value": value})
    }

    fn store() -> (Store, Arc<str>) {
        (Store::new(4), "things".into())
    }

    #[test]
    fn a_stale_write_is_refused() {
        let (store, key) = store();
        let first = store.create(&key, object("x", 1)).expect("new");
        let second = store
            .replace(&key, &first, object("x", 2))
            .expect("current");
        assert!(matches!(
            store.replace(&key, &first, object("x", 3)),
            Err(WriteError::Stale)
        ));
        assert_eq!(second["value"], 2);
        assert!(matches!(
            store.create(&key, object("x", 4)),
            Err(WriteError::Exists)
        ));
    }

    #[test]
    fn writing_the_same_makes_no_version() {
        let (store, key) = store();
        let first = store.create(&key, object("x", 1)).expect("new");
        let again = store
            .replace(&key, &first, object("x", 1))
            .expect("current");
        assert_eq!(first["metadata"], again["metadata"]);
    }

    #[test]
    fn history_is_bounded_and_says_so() {
        let (store, key) = store();
        let start = store.version();
        let mut last = store.create(&key, object("x", 0)).expect("new");
        for value in 1..6 {
            last = store
                .replace(&key, &last, object("x", value))
                .expect("current");
        }
        assert!(store.changes_since(&key, start).is_err());
        let recent = store
            .changes_since(&key, store.version() - 2)
            .expect("kept");
        assert_eq!(
            recent
                .iter()
                .map(|c| c.object["value"].clone())
                .collect::<Vec<_>>(),
            [json!(4), json!(5)]
        );
    }

    #[test]
    fn a_list_of_an_older_version_undoes_what_came_after() {
        let (store, key) = store();
        let x = store.create(&key, object("x", 1)).expect("new");
        let version = store.version();
        let y = store.create(&key, object("y", 1)).expect("new");
        let x = store.replace(&key, &x, object("x", 2)).expect("current");
        store.remove(&key, &x, (*x).clone()).expect("current");
        drop(y);
        let then = store.list_at(&key, Some("a"), version).expect("kept");
        assert_eq!(then.len(), 1);
        assert_eq!(then[0]["value"], 1);
    }
}
