//! Quota admission of pods: how many there may be. What they ask for of CPU and memory is not
//! counted, and no controller writes `status.used`. Wording follows `k8s.io/apiserver`'s
//! ResourceQuota plugin.

use serde_json::Value;

use super::errors::{ApiError, ApiResult};
use super::handlers::Call;
use super::meta;

/// Refuses a pod that is one too many for a quota of its namespace.
///
/// # Errors
/// 403 with what was requested, is used and is allowed.
pub(crate) fn check(call: &Call, pod: &Value) -> ApiResult<()> {
    let store = &call.server.store;
    let quotas = store.list("resourcequotas", Some(call.namespace())).objects;
    if quotas.is_empty() {
        return Ok(());
    }
    let pods = store.list("pods", Some(call.namespace())).objects;
    let ended = |pod: &Value| {
        matches!(
            meta::text(pod, "/status/phase"),
            Some("Succeeded" | "Failed")
        )
    };
    let running = pods.iter().filter(|pod| !ended(pod)).count();
    for quota in &quotas {
        for (resource, used) in [("count/pods", pods.len()), ("pods", running)] {
            let pointer = format!("/spec/hard/{}", resource.replace('/', "~1"));
            let Some(hard) = quota.pointer(&pointer).and_then(limit) else {
                continue;
            };
            if used + 1 > hard {
                let why = format!(
                    "exceeded quota: {}, requested: {resource}=1, used: {resource}={used}, limited: {resource}={hard}",
                    meta::name(quota)
                );
                return Err(ApiError::forbidden(&call.def, meta::name(pod), why));
            }
        }
    }
    Ok(())
}

/// A whole number, written either way.
fn limit(hard: &Value) -> Option<usize> {
    match hard {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => usize::try_from(number.as_u64()?).ok(),
        _ => None,
    }
}
