//! What a StatefulSet does next, from what there is: which pods it makes, corrects and deletes,
//! in which order, and what it waits for. Pure.
//!
//! With `OrderedReady` a set does one thing and waits until its effect is ready; with `Parallel`
//! everything at once. Scaling comes before updating.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;

use super::history::{History, template};
use super::status::is_running_and_ready;
use super::{claims, members};
use crate::controllers::pods;

/// Everything that a decision depends on.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) set: &'a StatefulSet,
    pub(super) history: &'a History,
    /// The set's own pods.
    pub(super) pods: &'a [Pod],
    /// All claims of the namespace.
    pub(super) claims: &'a [PersistentVolumeClaim],
    pub(super) now: Timestamp,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Make the pod's missing claims, and then the pod.
    Create(Box<Pod>),
    /// Delete the pod.
    Delete(Box<Pod>),
    /// Make the claims of a pod that are missing.
    Claims(Box<Pod>),
    /// Give the claims of a pod the owners that the policy wants.
    Owners(Box<Pod>),
    /// Write the pod's labels and volumes as they have to be.
    Correct(Box<Pod>),
}

/// What to do, in three stages. An error ends it there.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// For the pods that the set is to have.
    pub(super) members: Vec<Step>,
    /// For those that it has too many.
    pub(super) surplus: Vec<Step>,
    /// For those that are of another template.
    pub(super) updates: Vec<Step>,
    /// When to look again without a change.
    pub(super) look_again: Option<Duration>,
}

/// Decides what the set does next.
pub(super) fn plan(view: &View<'_>) -> Plan {
    let mut plan = Plan {
        look_again: look_again(view),
        ..Plan::default()
    };
    let ordered = !is_parallel(view.set);
    let ordinals = members::ordinals(view.set);
    let living: Vec<_> = ordinals.map(|ordinal| member(view, ordinal)).collect();
    for member in &living {
        let waits = step_for(view, member, &mut plan.members);
        if waits == Waits::Stale {
            plan.look_again = Some(STALE);
        }
        if waits != Waits::No && ordered {
            return plan;
        }
    }
    let surplus = surplus(view);
    let fixes = surplus.iter().filter(|pod| owners_differ(view, pod));
    plan.surplus
        .extend(fixes.map(|pod| Step::Owners(boxed(pod))));
    let unavailable = first_unavailable(view, &living, &surplus);
    for pod in &surplus {
        if pods::is_terminating(pod) {
            if ordered {
                return plan;
            }
            continue;
        }
        if ordered && !is_available(view, pod) && unavailable != Some(pod.name_any()) {
            return plan;
        }
        plan.surplus.push(Step::Delete(boxed(pod)));
        if ordered {
            return plan;
        }
    }
    plan.updates.extend(update(view, &living));
    plan
}

/// How soon to look for a claim that is about to go.
const STALE: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
enum Member<'a> {
    There(&'a Pod),
    Wanted(Box<Pod>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    No,
    Yes,
    /// For a claim of an earlier pod to go.
    Stale,
}

fn boxed(pod: &Pod) -> Box<Pod> {
    Box::new(pod.clone())
}

fn is_parallel(set: &StatefulSet) -> bool {
    let policy = set.spec.pod_management_policy.as_ref();
    policy.is_some_and(|policy| policy == "Parallel")
}

fn strategy(set: &StatefulSet) -> &str {
    let strategy = set.spec.update_strategy.as_ref();
    strategy
        .and_then(|strategy| strategy.type_.as_deref())
        .unwrap_or("RollingUpdate")
}

fn min_ready(set: &StatefulSet) -> i32 {
    set.spec.min_ready_seconds.unwrap_or(0)
}

fn is_available(view: &View<'_>, pod: &Pod) -> bool {
    is_running_and_ready(pod) && pods::is_available(pod, min_ready(view.set), view.now)
}

/// The pod of an ordinal, there or to be made.
fn member<'a>(view: &View<'a>, ordinal: i32) -> Member<'a> {
    let there = view
        .pods
        .iter()
        .find(|pod| members::ordinal(pod) == ordinal);
    there.map_or_else(
        || Member::Wanted(Box::new(new_member(view, ordinal))),
        Member::There,
    )
}

/// Only below the partition of a rolling update is a new pod of the current template.
fn new_member(view: &View<'_>, ordinal: i32) -> Pod {
    let set = view.set;
    let start = members::ordinals(set).start;
    let of_current = strategy(set) == "RollingUpdate" && ordinal < start + members::partition(set);
    let revision = if of_current {
        &view.history.current
    } else {
        &view.history.update
    };
    members::new_pod(set, ordinal, &template(revision), &revision.name_any())
}

/// What a wanted pod needs, and whether the next ones wait for it in an ordered set.
fn step_for(view: &View<'_>, member: &Member<'_>, steps: &mut Vec<Step>) -> Waits {
    let pod = match member {
        Member::Wanted(pod) => {
            let needs: Vec<_> = claims::names(view.set, members::ordinal(pod)).collect();
            let mut named = view
                .claims
                .iter()
                .filter(|claim| needs.iter().any(|(_, name)| *name == claim.name_any()));
            if named.any(|claim| claims::is_stale(&pod.name_any(), None, claim)) {
                return Waits::Stale;
            }
            steps.push(Step::Create(pod.clone()));
            return Waits::Yes;
        }
        Member::There(pod) => *pod,
    };
    if pods::is_finished(pod) {
        if !pods::is_terminating(pod) {
            steps.push(Step::Delete(boxed(pod)));
        }
        return Waits::Yes;
    }
    if pods::phase(pod) == "Pending" && misses_claims(view, pod) {
        steps.push(Step::Claims(boxed(pod)));
    }
    let waits = pods::is_terminating(pod) || !is_available(view, pod);
    if waits && !is_parallel(view.set) {
        return Waits::Yes;
    }
    if !members::has_claims(view.set, pod) {
        steps.push(Step::Claims(boxed(pod)));
    }
    if owners_differ(view, pod) {
        steps.push(Step::Owners(boxed(pod)));
    }
    if let Some(corrected) = members::corrected(view.set, pod) {
        steps.push(Step::Correct(Box::new(corrected)));
    }
    Waits::No
}

fn misses_claims(view: &View<'_>, pod: &Pod) -> bool {
    let there = |name: &String| view.claims.iter().any(|claim| claim.name_any() == *name);
    !claims::names(view.set, members::ordinal(pod)).all(|(_, name)| there(&name))
}

fn owners_differ(view: &View<'_>, pod: &Pod) -> bool {
    let names: Vec<_> = claims::names(view.set, members::ordinal(pod)).collect();
    let own =
        |claim: &&PersistentVolumeClaim| names.iter().any(|(_, name)| *name == claim.name_any());
    let mut claims = view.claims.iter().filter(own);
    claims.any(|claim| claims::corrected_owners(view.set, pod, claim).is_some())
}

/// Pods of ordinals that the set is not to have, the highest first.
fn surplus<'a>(view: &View<'a>) -> Vec<&'a Pod> {
    let ordinals = members::ordinals(view.set);
    let pods = view.pods.iter();
    let mut surplus: Vec<_> = pods
        .filter(|pod| !ordinals.contains(&members::ordinal(pod)))
        .collect();
    surplus.sort_by_key(|pod| std::cmp::Reverse(members::ordinal(pod)));
    surplus
}

/// The name of the first pod that is not available, in the order in which they are waited for.
fn first_unavailable(view: &View<'_>, living: &[Member<'_>], surplus: &[&Pod]) -> Option<String> {
    let living = living.iter().map(|member| match member {
        Member::There(pod) => *pod,
        Member::Wanted(pod) => pod,
    });
    let mut all = living.chain(surplus.iter().rev().copied());
    all.find(|pod| pods::is_terminating(pod) || !is_available(view, pod))
        .map(ResourceExt::name_any)
}

/// The pod to delete for an update: the highest that is of another revision, once all above it
/// are available.
fn update(view: &View<'_>, living: &[Member<'_>]) -> Option<Step> {
    if strategy(view.set) == "OnDelete" {
        return None;
    }
    let updated = view.history.update.name_any();
    let lowest = usize::try_from(members::partition(view.set)).unwrap_or(0);
    for member in living.iter().skip(lowest).rev() {
        let Member::There(pod) = member else {
            return None;
        };
        if members::revision(pod) != updated && !pods::is_terminating(pod) {
            return Some(Step::Delete(boxed(pod)));
        }
        if pods::is_terminating(pod) || !is_available(view, pod) {
            return None;
        }
    }
    None
}

/// Time alone makes a ready pod available.
fn look_again(view: &View<'_>) -> Option<Duration> {
    let ready = view.pods.iter().filter(|pod| is_running_and_ready(pod));
    ready
        .filter_map(|pod| pods::available_in(pod, min_ready(view.set), view.now))
        .filter(|due| !due.is_zero())
        .min()
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
