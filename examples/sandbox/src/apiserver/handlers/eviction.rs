//! The eviction subresource: deletes a pod if the disruption budget that covers it allows it.

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use super::delete::{self, DeleteOptions};
use super::subresource::success;
use super::{Call, decode};
use crate::apiserver::errors::{ApiError, ApiResult};
use crate::apiserver::meta;
use crate::apiserver::selectors::Selector;

const BUDGETS: &str = "poddisruptionbudgets.policy";

/// `POST` of an Eviction.
pub(super) fn evict(call: &Call, body: &Bytes) -> ApiResult<Response<Body>> {
    let eviction = decode::body(&call.headers, body)?;
    let pod = call.existing()?;
    let options = DeleteOptions {
        grace_seconds: meta::int(&eviction, "/deleteOptions/gracePeriodSeconds"),
        uid: meta::text(&eviction, "/deleteOptions/preconditions/uid").map(str::to_owned),
        propagation: meta::text(&eviction, "/deleteOptions/propagationPolicy").map(str::to_owned),
        dry_run: call.query.dry_run()?
            || !meta::list(&eviction, "/deleteOptions/dryRun").is_empty(),
        ..DeleteOptions::default()
    };
    let unprotected = matches!(
        meta::text(&pod, "/status/phase"),
        Some("Succeeded" | "Failed" | "Pending")
    );
    if !unprotected && !meta::is_deleting(&pod) {
        spend(call, &pod, options.dry_run)?;
    }
    delete::delete_object(
        &call.server,
        &call.def,
        call.namespace(),
        &call.info.name,
        &options,
    )?;
    Ok(success(201))
}

/// Takes one disruption from the pod's budget, if it has one.
fn spend(call: &Call, pod: &Value, dry_run: bool) -> ApiResult<()> {
    let covers = |budget: &Value| {
        let selector = budget.pointer("/spec/selector");
        selector.is_some_and(|selector| Selector::from_label_selector(selector).matches(pod))
    };
    let all = call
        .server
        .store
        .list(BUDGETS, Some(call.namespace()))
        .objects;
    let mut budgets = all.into_iter().filter(|budget| covers(budget));
    let Some(budget) = budgets.next() else {
        return Ok(());
    };
    if budgets.next().is_some() {
        return Err(ApiError::new(
            500,
            "InternalError",
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    }
    if !is_ready(pod) && spares_unready(&budget) {
        return Ok(());
    }
    let allowed = allowed(&budget)?;
    if dry_run {
        return Ok(());
    }
    let mut new = (*budget).clone();
    new["status"]["disruptionsAllowed"] = (allowed - 1).into();
    new["status"]["disruptedPods"][meta::name(pod)] = meta::now().into();
    let replaced = call.server.store.replace(&BUDGETS.into(), &budget, new);
    // Somebody else was faster; whoever evicts tries again.
    replaced.map(drop).map_err(|_| refused(None, 10))
}

fn is_ready(pod: &Value) -> bool {
    meta::list(pod, "/status/conditions").iter().any(|one| {
        meta::text(one, "/type") == Some("Ready") && meta::text(one, "/status") == Some("True")
    })
}

/// Whether a pod that is not ready may go without asking how many are.
fn spares_unready(budget: &Value) -> bool {
    let number = |field: &str| meta::int(budget, &format!("/status/{field}")).unwrap_or(0);
    let (healthy, desired) = (number("currentHealthy"), number("desiredHealthy"));
    meta::text(budget, "/spec/unhealthyPodEvictionPolicy") == Some("AlwaysAllow")
        || healthy >= desired && desired > 0
}

/// How many disruptions the budget still has: at least one.
fn allowed(budget: &Value) -> ApiResult<i64> {
    let name = meta::name(budget);
    let number = |pointer: &str| meta::int(budget, pointer).unwrap_or(0);
    if number("/status/observedGeneration") < number("/metadata/generation") {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(refused(Some(why), 10));
    }
    let allowed = number("/status/disruptionsAllowed");
    if allowed > 0 {
        return Ok(allowed);
    }
    let conditions = meta::list(budget, "/status/conditions");
    let failed = conditions
        .iter()
        .find(|one| meta::text(one, "/reason") == Some("SyncFailed"));
    let why = match failed {
        Some(failed) => format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
            meta::text(failed, "/message").unwrap_or_default()
        ),
        None => format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            number("/status/desiredHealthy"),
            number("/status/currentHealthy")
        ),
    };
    Err(refused(Some(why), 0))
}

fn refused(why: Option<String>, seconds: i64) -> ApiError {
    let mut error = ApiError::new(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
    );
    let causes = why.map(|why| json!([{ "reason": "DisruptionBudget", "message": why }]));
    let mut details = json!({});
    if let Some(causes) = causes {
        details["causes"] = causes;
    }
    if seconds > 0 {
        details["retryAfterSeconds"] = seconds.into();
    }
    error.details = Some(details);
    error
}
