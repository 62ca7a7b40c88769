//! What a Job's pods mean for the Job: how many more it needs, and whether it is over. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::job_memory::Gone;
use super::pods::{is_ready, phase};

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(super) struct Decision {
    /// Pods to make now.
    pub(super) create: i32,
    /// Pods to delete.
    pub(super) delete: Vec<String>,
    /// How the Job stands.
    pub(super) outcome: Outcome,
    /// A finished Job's time is over.
    pub(super) expired: bool,
    /// When something is due without a change.
    pub(super) look_again: Option<Duration>,
    counts: Counts,
}

/// How a Job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It goes on.
    Running,
    /// It has just succeeded.
    Complete,
    /// It has just failed.
    Failed {
        /// The condition's reason.
        reason: &'static str,
        /// The condition's message.
        message: &'static str,
    },
    /// It was over before.
    Finished,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    active: i32,
    ready: i32,
    terminating: i32,
    succeeded: i32,
    failed: i32,
}

/// Decides from the Job, its pods, and those that it had.
pub(super) fn decide(
    job: &Job,
    pods: &[Pod],
    gone: Gone,
    now: Timestamp,
    backoff: Duration,
) -> Decision {
    let mut counts = count(pods);
    counts.succeeded += gone.succeeded;
    counts.failed += gone.failed;
    let mut decision = Decision {
        create: 0,
        delete: Vec::new(),
        outcome: Outcome::Running,
        expired: false,
        look_again: None,
        counts,
    };
    if let Some(finished) = finished_at(job) {
        decision.outcome = Outcome::Finished;
        let ttl = job
            .spec
            .as_ref()
            .and_then(|spec| spec.ttl_seconds_after_finished);
        if let Some(ttl) = ttl {
            let due = finished + SignedDuration::from_secs(ttl.into());
            decision.expired = due <= now;
            decision.look_again = Duration::try_from(due.duration_since(now)).ok();
        }
        return decision;
    }
    let spec = job.spec.clone().unwrap_or_default();
    let active: Vec<_> = pods.iter().filter(|pod| is_active(pod)).collect();
    if spec.suspend == Some(true) {
        decision.delete = active.iter().map(|pod| pod.name_any()).collect();
        return decision;
    }
    let restarts: i32 = pods.iter().map(restarts).sum();
    let deadline = spec
        .active_deadline_seconds
        .zip(started(job))
        .map(|(seconds, start)| start + SignedDuration::from_secs(seconds));
    decision.outcome = if counts.failed + restarts > spec.backoff_limit.unwrap_or(6) {
        Outcome::Failed {
            reason: "BackoffLimitExceeded",
            message: "Job has reached the specified backoff limit",
        }
    } else if deadline.is_some_and(|deadline| deadline <= now) {
        Outcome::Failed {
            reason: "DeadlineExceeded",
            message: "Job was active longer than specified deadline",
        }
    } else {
        Outcome::Running
    };
    if decision.outcome != Outcome::Running {
        decision.delete = active.iter().map(|pod| pod.name_any()).collect();
        return decision;
    }
    if done(spec.completions, counts) {
        decision.outcome = Outcome::Complete;
        return decision;
    }
    let parallelism = spec.parallelism.unwrap_or(1);
    let wanted = match spec.completions {
        Some(completions) => parallelism.min(completions - counts.succeeded),
        // A queue of work: once one has succeeded no more are started.
        None if counts.succeeded > 0 => counts.active,
        None => parallelism,
    };
    // Those that are being deleted are failures, and replaced before they are gone.
    let missing = (wanted - counts.active).max(0);
    let last_failure = pods
        .iter()
        .filter_map(failed_at)
        .max()
        .max(gone.last_failure);
    let pause = pause(last_failure, counts.failed, now, backoff);
    if missing > 0 && pause.is_zero() {
        decision.create = missing;
    }
    let until = |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or_default();
    decision.look_again = deadline
        .map(until)
        .into_iter()
        .chain((missing > 0 && !pause.is_zero()).then_some(pause))
        .min();
    decision
}

fn done(completions: Option<i32>, counts: Counts) -> bool {
    match completions {
        Some(completions) => counts.succeeded >= completions,
        None => counts.succeeded > 0 && counts.active == 0,
    }
}

fn is_active(pod: &Pod) -> bool {
    phase(pod) != "Succeeded" && !failed(pod)
}

/// One that is deleted before it has succeeded has failed: it may never come to say so.
pub(super) fn failed(pod: &Pod) -> bool {
    match phase(pod) {
        "Succeeded" => false,
        "Failed" => true,
        _ => pod.metadata.deletion_timestamp.is_some(),
    }
}

fn count(pods: &[Pod]) -> Counts {
    let mut counts = Counts::default();
    for pod in pods {
        if phase(pod) == "Succeeded" {
            counts.succeeded += 1;
        } else if failed(pod) {
            counts.failed += 1;
            counts.terminating += i32::from(phase(pod) != "Failed");
        } else {
            counts.active += 1;
            counts.ready += i32::from(is_ready(pod));
        }
    }
    counts
}

/// Restarts of a running pod count as failures.
fn restarts(pod: &Pod) -> i32 {
    let status = pod.status.as_ref().filter(|_| is_active(pod));
    let containers = status.map(|status| {
        let main = status.container_statuses.iter().flatten();
        main.chain(status.init_container_statuses.iter().flatten())
            .map(|container| container.restart_count)
            .sum()
    });
    containers.unwrap_or(0)
}

/// How long to wait before a failed pod is replaced: the first pause, doubled with each failure,
/// counted from the last one.
fn pause(last: Option<Timestamp>, failed: i32, now: Timestamp, first: Duration) -> Duration {
    let Some(last) = last else {
        return Duration::ZERO;
    };
    let doublings = u32::try_from(failed - 1).unwrap_or(0).min(6);
    let pause = first * 2_u32.pow(doublings);
    let passed = Duration::try_from(now.duration_since(last)).unwrap_or_default();
    pause.saturating_sub(passed)
}

/// When a pod failed: when its last container ended, or else when its deletion was asked for.
fn failed_at(pod: &Pod) -> Option<Timestamp> {
    if !failed(pod) {
        return None;
    }
    let containers = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    let ended = |container: &ContainerStatus| {
        let terminated = container.state.as_ref()?.terminated.as_ref()?;
        Some(terminated.finished_at.as_ref()?.0)
    };
    let ended = containers.into_iter().flatten().filter_map(ended).max();
    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
    // The time of deletion is when the grace will be over.
    let asked =
        || Some(pod.metadata.deletion_timestamp.as_ref()?.0 - SignedDuration::from_secs(grace));
    ended.or_else(asked)
}

fn started(job: &Job) -> Option<Timestamp> {
    Some(job.status.as_ref()?.start_time.as_ref()?.0)
}

fn finished_at(job: &Job) -> Option<Timestamp> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let over = conditions.iter().find(|condition| {
        matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
    })?;
    over.last_transition_time.as_ref().map(|time| time.0)
}

/// The Job's status after the decision has been carried out.
pub(super) fn status(job: &Job, decision: &Decision, created: i32, now: Timestamp) -> JobStatus {
    let old = job.status.clone().unwrap_or_default();
    if decision.outcome == Outcome::Finished {
        return old;
    }
    let counts = decision.counts;
    let some = |count: i32| (count > 0).then_some(count);
    let mut conditions = old.conditions.clone().unwrap_or_default();
    let mut add = |kind: &str, reason: &str, message: &str| {
        conditions.push(JobCondition {
            type_: kind.to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_probe_time: Some(Time(now)),
            last_transition_time: Some(Time(now)),
        });
    };
    match &decision.outcome {
        Outcome::Complete => {
            let message = "Reached expected number of succeeded pods";
            add("SuccessCriteriaMet", "CompletionsReached", message);
            add("Complete", "CompletionsReached", message);
        }
        Outcome::Failed { reason, message } => {
            add("FailureTarget", reason, message);
            add("Failed", reason, message);
        }
        Outcome::Running | Outcome::Finished => {}
    }
    let over = decision.outcome != Outcome::Running;
    let deleted = i32::try_from(decision.delete.len()).unwrap_or(0);
    JobStatus {
        active: some(counts.active + created - deleted),
        ready: Some(if over { 0 } else { counts.ready }),
        succeeded: some(counts.succeeded),
        failed: some(counts.failed),
        terminating: Some(counts.terminating + deleted),
        start_time: old.start_time.or(Some(Time(now))),
        completion_time: (decision.outcome == Outcome::Complete).then_some(Time(now)),
        conditions: (!conditions.is_empty()).then_some(conditions),
        uncounted_terminated_pods: Some(UncountedTerminatedPods::default()),
        ..old
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(spec: serde_json::Value) -> Job {
        let mut spec = spec;
        spec["template"] = json!({});
        serde_json::from_value(json!({ "spec": spec })).expect("is a job")
    }

    fn pod(phase: &str) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "p" }, "status": { "phase": phase } }))
            .expect("is a pod")
    }

    fn decided(job: &Job, pods: &[Pod]) -> Decision {
        decide(
            job,
            pods,
            Gone::default(),
            Timestamp::now(),
            Duration::from_secs(10),
        )
    }

    #[test]
    fn a_job_makes_pods_until_enough_have_succeeded() {
        let job = job(json!({ "completions": 3, "parallelism": 2 }));
        assert_eq!(decided(&job, &[]).create, 2);
        assert_eq!(decided(&job, &[pod("Running"), pod("Succeeded")]).create, 1);
        let last = [pod("Running"), pod("Succeeded"), pod("Succeeded")];
        assert_eq!(decided(&job, &last).create, 0);
        let done = [pod("Succeeded"), pod("Succeeded"), pod("Succeeded")];
        assert_eq!(decided(&job, &done).outcome, Outcome::Complete);
    }

    #[test]
    fn too_many_failures_end_a_job() {
        let job = job(json!({ "completions": 1, "parallelism": 1, "backoffLimit": 0 }));
        let decision = decided(&job, &[pod("Failed")]);
        assert!(matches!(
            decision.outcome,
            Outcome::Failed {
                reason: "BackoffLimitExceeded",
                ..
            }
        ));
        let now = Timestamp::now();
        let conditions = status(&job, &decision, 0, now)
            .conditions
            .unwrap_or_default();
        let kinds: Vec<_> = conditions.iter().map(|one| one.type_.as_str()).collect();
        assert_eq!(kinds, ["FailureTarget", "Failed"]);
    }

    #[test]
    fn a_deleted_pod_is_a_failed_one() {
        let mut deleted = pod("Running");
        deleted.metadata.deletion_timestamp = Some(Time(Timestamp::now()));
        let strict = job(json!({ "completions": 1, "parallelism": 1, "backoffLimit": 0 }));
        let over = |decision: Decision| matches!(decision.outcome, Outcome::Failed { .. });
        assert!(over(decided(&strict, &[deleted.clone()])));
        let now = Timestamp::now();
        let gone = Gone {
            failed: 1,
            last_failure: Some(now),
            ..Gone::default()
        };
        let first = Duration::from_secs(10);
        assert!(
            over(decide(&strict, &[], gone, now, first)),
            "also once it is gone"
        );
        let patient = job(json!({ "completions": 1, "parallelism": 1, "backoffLimit": 2 }));
        let waits = decide(&patient, &[], gone, now, first);
        assert_eq!((waits.create, waits.look_again), (0, Some(first)));
        let later = now + SignedDuration::from_secs(10);
        assert_eq!(decide(&patient, &[], gone, later, first).create, 1);
    }

    #[test]
    fn a_finished_job_expires() {
        let now = Timestamp::now();
        let mut job = job(json!({ "completions": 1, "ttlSecondsAfterFinished": 5 }));
        let done = decided(&job, &[pod("Succeeded")]);
        job.status = Some(status(&job, &done, 0, now));
        let early = decide(&job, &[], Gone::default(), now, Duration::ZERO);
        assert!(!early.expired && early.look_again.is_some(), "{early:?}");
        let late = now + SignedDuration::from_secs(5);
        assert!(decide(&job, &[], Gone::default(), late, Duration::ZERO).expired);
    }

    #[test]
    fn a_deadline_ends_a_job_and_its_pods() {
        let mut job = job(json!({ "completions": 1, "activeDeadlineSeconds": 5 }));
        let now = Timestamp::now();
        job.status = Some(JobStatus {
            start_time: Some(Time(now - SignedDuration::from_secs(6))),
            ..JobStatus::default()
        });
        let decision = decide(
            &job,
            &[pod("Running")],
            Gone::default(),
            now,
            Duration::ZERO,
        );
        assert!(matches!(
            decision.outcome,
            Outcome::Failed {
                reason: "DeadlineExceeded",
                ..
            }
        ));
        assert_eq!(decision.delete, ["p"]);
    }
}
