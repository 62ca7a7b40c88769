//! How many pods each ReplicaSet of a Deployment is to have next, by its strategy. Pure.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

use super::sets::{available, noted_maximum, noted_size, replicas};

/// A ReplicaSet's new size, by its name.
pub(super) type Scale = (String, i32);

/// How many pods a Deployment is to have, may have more and may miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) wanted: i32,
    pub(super) surge: i32,
    pub(super) unavailable: i32,
}

impl Limits {
    pub(super) fn of(deployment: &Deployment) -> Self {
        let wanted = deployment.spec.replicas.unwrap_or(1);
        let strategy = deployment.spec.strategy.as_ref();
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        if is_recreate(deployment) {
            return Self {
                wanted,
                surge: 0,
                unavailable: 0,
            };
        }
        let surge = resolve(rolling.and_then(|one| one.max_surge.as_ref()), wanted, true);
        let unavailable = resolve(
            rolling.and_then(|one| one.max_unavailable.as_ref()),
            wanted,
            false,
        );
        Self {
            wanted,
            surge,
            // With neither there would be no way forward.
            unavailable: match surge {
                0 => unavailable.max(1).min(wanted),
                _ => unavailable.min(wanted),
            },
        }
    }

    /// The most pods at a time.
    pub(super) fn maximum(self) -> i32 {
        self.wanted + self.surge
    }

    /// The fewest available pods at a time.
    pub(super) fn minimum(self) -> i32 {
        self.wanted - self.unavailable
    }
}

pub(super) fn is_recreate(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.strategy.as_ref();
    strategy.is_some_and(|strategy| strategy.type_.as_deref() == Some("Recreate"))
}

/// A number, or a share of `total`, rounded up or down. A quarter where nothing is said.
fn resolve(value: Option<&IntOrString>, total: i32, up: bool) -> i32 {
    let percent = match value {
        Some(IntOrString::Int(number)) => return *number,
        Some(IntOrString::String(text)) => {
            let number = text
                .strip_suffix('%')
                .and_then(|number| number.parse().ok());
            number.unwrap_or(0)
        }
        None => 25,
    };
    let share = total * percent;
    if up { (share + 99) / 100 } else { share / 100 }
}

fn total(sets: &[ReplicaSet]) -> i32 {
    sets.iter().map(replicas).sum()
}

/// How large the set of the newest template is to be now; `others` are all but it.
pub(super) fn new_size(deployment: &Deployment, new: i32, others: &[ReplicaSet]) -> i32 {
    let limits = Limits::of(deployment);
    if is_recreate(deployment) || new > limits.wanted {
        return limits.wanted;
    }
    let free = limits.maximum() - total(others) - new;
    new + free.min(limits.wanted - new).max(0)
}

/// Whether the Deployment was scaled since its sets were.
pub(super) fn was_scaled(deployment: &Deployment, sets: &[ReplicaSet]) -> bool {
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let active = sets.iter().filter(|set| replicas(set) > 0);
    active.filter_map(noted_size).any(|noted| noted != wanted)
}

/// The sizes after the Deployment itself was scaled: in a rollout each set has its share.
pub(super) fn scaled(
    deployment: &Deployment,
    new: Option<&ReplicaSet>,
    others: &[ReplicaSet],
) -> Vec<Scale> {
    let limits = Limits::of(deployment);
    let all: Vec<_> = new.into_iter().chain(others).collect();
    let active: Vec<_> = all
        .iter()
        .filter(|set| replicas(set) > 0)
        .copied()
        .collect();
    let only = match active.as_slice() {
        [] => new.or(others.last()),
        [one] => Some(*one),
        _ => None,
    };
    if let Some(only) = only {
        return vec![(only.name_any(), limits.wanted)];
    }
    if new.is_some_and(|new| is_saturated(limits, new)) {
        let old = others.iter().filter(|set| replicas(set) > 0);
        return old.map(|set| (set.name_any(), 0)).collect();
    }
    if is_recreate(deployment) {
        return Vec::new();
    }
    shares(limits, active)
}

fn is_saturated(limits: Limits, new: &ReplicaSet) -> bool {
    replicas(new) == limits.wanted
        && noted_size(new) == Some(limits.wanted)
        && available(new) == limits.wanted
}

/// Each set's share of what was added or taken away; the largest has what remains.
fn shares(limits: Limits, mut active: Vec<&ReplicaSet>) -> Vec<Scale> {
    let all: i32 = active.iter().map(|set| replicas(set)).sum();
    let allowed = if limits.wanted > 0 {
        limits.maximum()
    } else {
        0
    };
    let missing = allowed - all;
    active.sort_by_key(|set| std::cmp::Reverse(replicas(set)));
    let mut given = 0;
    let mut sizes: Vec<_> = active
        .into_iter()
        .map(|set| {
            let size = replicas(set);
            let before = noted_maximum(set).unwrap_or(limits.wanted).max(1);
            let share = (f64::from(size) * f64::from(allowed) / f64::from(before)).round();
            // Sizes are far too small to be cut off.
            let change = share as i32 - size;
            let left = missing - given;
            let change = if missing > 0 {
                change.clamp(0, left.max(0))
            } else {
                change.clamp(left.min(0), 0)
            };
            given += change;
            (set.name_any(), size + change)
        })
        .collect();
    if let Some((_, size)) = sizes.first_mut() {
        *size = (*size + missing - given).max(0);
    }
    sizes
}

/// The next sizes of a rolling update, the new set's first; nothing when there is nothing to do
/// now.
pub(super) fn rolling(
    deployment: &Deployment,
    new: &ReplicaSet,
    others: &[ReplicaSet],
) -> Vec<Scale> {
    let limits = Limits::of(deployment);
    let size = new_size(deployment, replicas(new), others);
    if size != replicas(new) {
        return vec![(new.name_any(), size)];
    }
    let old = total(others);
    // What is not available of the new may not be missed of the old.
    let spare = old + replicas(new) - limits.minimum() - (replicas(new) - available(new));
    if old == 0 || spare <= 0 {
        return Vec::new();
    }
    let mut sizes: Vec<_> = others.iter().map(replicas).collect();
    // Pods that serve nobody go first.
    let mut left = spare;
    for (set, size) in others.iter().zip(&mut sizes) {
        let broken = (*size - available(set)).clamp(0, left);
        *size -= broken;
        left -= broken;
    }
    let serving = available(new) + others.iter().map(available).sum::<i32>();
    let mut left = (serving - limits.minimum()).max(0);
    for size in &mut sizes {
        let fewer = (*size).min(left);
        *size -= fewer;
        left -= fewer;
    }
    others
        .iter()
        .zip(sizes)
        .filter(|(set, size)| replicas(set) != *size)
        .map(|(set, size)| (set.name_any(), size))
        .collect()
}

/// The sizes when all old pods are to go before the first new one comes; the new set's turn
/// comes when none of the old pods is there any more.
pub(super) fn recreating(others: &[ReplicaSet]) -> Vec<Scale> {
    let old = others.iter().filter(|set| replicas(set) > 0);
    old.map(|set| (set.name_any(), 0)).collect()
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
