//! What became of a Job's pods that do not exist any more. A real controller learns it from the
//! finalizer that keeps each pod until it is counted; here it is remembered from one look to the
//! next. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::job_status::failed;
use super::pods::phase;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Active,
    Succeeded,
    Failed(Timestamp),
    /// The controller itself deleted it, which is nobody's failure.
    Deleted,
}

/// The pods that a Job ever had, by uid.
#[derive(Debug, Default)]
pub(super) struct JobMemory {
    fates: BTreeMap<String, Fate>,
}

/// Pods that count although they do not exist any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gone {
    /// Those that had succeeded.
    pub(super) succeeded: i32,
    /// Those that had failed, or were deleted before they had ended.
    pub(super) failed: i32,
    /// When the latest of those was seen to have failed.
    pub(super) last_failure: Option<Timestamp>,
}

impl JobMemory {
    /// Takes note of the pods that there are, and tells what became of those that are not.
    pub(super) fn look(&mut self, pods: &[Pod], now: Timestamp) -> Gone {
        for pod in pods {
            let fate = self.fates.entry(uid(pod)).or_insert(Fate::Active);
            *fate = match *fate {
                Fate::Active if phase(pod) == "Succeeded" => Fate::Succeeded,
                Fate::Active if failed(pod) => Fate::Failed(now),
                known => known,
            };
        }
        let mut gone = Gone::default();
        for (uid, fate) in &mut self.fates {
            let counts_itself = |pod: &Pod| pod.uid().as_ref() == Some(uid) && !recants(*fate, pod);
            if pods.iter().any(counts_itself) {
                continue;
            }
            if *fate == Fate::Active {
                *fate = Fate::Failed(now);
            }
            match *fate {
                Fate::Succeeded => gone.succeeded += 1,
                Fate::Failed(at) => {
                    gone.failed += 1;
                    gone.last_failure = gone.last_failure.max(Some(at));
                }
                Fate::Active | Fate::Deleted => {}
            }
        }
        gone
    }

    /// Whether it was the controller that deleted that pod.
    pub(super) fn has_deleted(&self, pod: &Pod) -> bool {
        self.fates.get(&uid(pod)) == Some(&Fate::Deleted)
    }

    /// Whether that pod was counted as failed, when it was being deleted, and says now that it has
    /// succeeded: a real controller counts each pod once.
    pub(super) fn has_failed_for_good(&self, pod: &Pod) -> bool {
        let fate = self.fates.get(&uid(pod));
        fate.is_some_and(|fate| recants(*fate, pod))
    }

    /// The controller is about to delete that pod.
    pub(super) fn deletes(&mut self, pod: &Pod) {
        self.fates.insert(uid(pod), Fate::Deleted);
    }
}

fn recants(fate: Fate, pod: &Pod) -> bool {
    matches!(fate, Fate::Failed(_)) && phase(pod) == "Succeeded"
}

fn uid(pod: &Pod) -> String {
    pod.uid().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, phase: &str) -> Pod {
        serde_json::from_value(json!({ "metadata": { "uid": uid }, "status": { "phase": phase } }))
            .expect("is a pod")
    }

    #[test]
    fn one_that_was_being_deleted_has_failed_even_if_it_succeeds_then() {
        let mut memory = JobMemory::default();
        let now = Timestamp::now();
        let mut deleted = pod("a", "Running");
        deleted.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-01-01T00:00:00Z")).expect("is a time");
        assert_eq!(
            memory.look(std::slice::from_ref(&deleted), now),
            Gone::default()
        );
        assert!(!memory.has_failed_for_good(&deleted));
        let succeeded = pod("a", "Succeeded");
        assert_eq!(memory.look(std::slice::from_ref(&succeeded), now).failed, 1);
        assert!(memory.has_failed_for_good(&succeeded));
        assert_eq!(memory.look(&[], now).failed, 1);
    }

    #[test]
    fn pods_count_on_when_they_are_gone() {
        let mut memory = JobMemory::default();
        let now = Timestamp::now();
        let pods = [
            pod("a", "Running"),
            pod("b", "Failed"),
            pod("c", "Succeeded"),
            pod("d", "Running"),
        ];
        assert_eq!(memory.look(&pods, now), Gone::default());
        memory.deletes(&pods[3]);
        assert!(memory.has_deleted(&pods[3]) && !memory.has_deleted(&pods[0]));
        let gone = memory.look(&[], now);
        let expected = Gone {
            succeeded: 1,
            failed: 2,
            last_failure: Some(now),
        };
        assert_eq!(
            gone, expected,
            "the one that ran was lost, the last one was not"
        );
        assert_eq!(
            memory.look(&[], Timestamp::MAX),
            expected,
            "when it failed stays as it was"
        );
    }
}
