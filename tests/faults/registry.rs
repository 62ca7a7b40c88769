//! The registry failing under the transfer and under the pull, and the transfer's pod lost.

use serde_json::{Value, json};

use crate::case::{Case, End, LOOK};
use crate::place::Place;
use crate::support::{Options, eventually};
use crate::trials::Trials;

/// Incompressible memory of the worker: an archive that takes more than one piece.
const STATE_BYTES: &str = "8388608";

/// Name, what the registry does wrong, and what comes of it. The repository is the case's own.
fn faults() -> Vec<(&'static str, Value, End)> {
    use End::{Completed, RolledBack};
    let cut = |bytes: u64, times: u32| json!({"cutAfterBytes": bytes, "times": times});
    let answer = |method: &str, status: u16, times: u32| json!({"method": method, "status": status, "times": times});
    vec![
        ("cut_at_the_first_byte", cut(1, 1), Completed),
        ("cut_at_64_kib", cut(65_536, 2), Completed),
        ("cut_at_4_mib", cut(4 << 20, 1), Completed),
        ("cut_again_and_again", cut(1 << 20, 1000), RolledBack),
        ("hiccups_at_the_upload", answer("POST", 503, 2), Completed),
        ("hiccups_at_the_blob", answer("PATCH", 500, 2), Completed),
        ("hiccups_at_the_manifest", answer("PUT", 502, 2), Completed),
        ("finds_another_digest", answer("PUT", 400, 2), Completed),
        ("asks_for_fewer_requests", answer("POST", 429, 1), Completed),
        ("is_full", answer("PUT", 507, 1000), RolledBack),
        ("denies_the_push", answer("POST", 403, 1000), RolledBack),
        ("hiccups_at_the_pull", answer("GET", 503, 1), Completed),
    ]
}

pub(crate) fn add(trials: &mut Trials) {
    for (name, fault, end) in faults() {
        trials.add(format!("registry::{name}"), move || fails(name, fault, end));
    }
    trials.add("registry::the_transfer_s_pod_is_lost", || pod_lost(false));
    trials.add("registry::the_transfer_s_job_is_lost", || pod_lost(true));
    trials.add("registry::the_image_cannot_be_pulled", not_pulled);
}

async fn start(name: &str) -> Case {
    let options = Options {
        environment: vec![("STATE_BYTES", STATE_BYTES.to_owned())],
        ..Options::default()
    };
    Case::start_with(
        Place::shared().await,
        &name.replace('_', "-"),
        &options,
        40.0,
    )
    .await
}

/// Orders a fault of the registry for the repository of this case.
async fn order(case: &Case, mut fault: Value) {
    fault["path"] = json!(case.app.namespace);
    case.place.world.order("/registry", fault).await;
}

async fn fails(name: &str, fault: Value, expected: End) {
    let mut case = start(name).await;
    order(&case, fault).await;
    let end = case.run().await;
    assert_eq!(end, expected);
    case.ends_well(end).await;
}

/// The pod that sends the checkpoint is deleted while it works, or its Job is.
async fn pod_lost(with_job: bool) {
    let mut case = start(if with_job { "job-lost" } else { "pod-lost" }).await;
    // The registry keeps the transfer at work until it is deleted.
    order(
        &case,
        json!({"method": "POST", "status": 429, "times": 1000}),
    )
    .await;
    let running = case.migrate();
    let namespace = &case.app.namespace;
    let (kind, path) = if with_job {
        (
            "jobs",
            format!("/apis/batch/v1/namespaces/{namespace}/jobs"),
        )
    } else {
        ("pods", format!("/api/v1/namespaces/{namespace}/pods"))
    };
    eventually("the transfer is at work", async || {
        let pods = case
            .place
            .api
            .get(&format!("/api/v1/namespaces/{namespace}/pods"))
            .await?;
        let pod = pods["items"].as_array()?.iter().find(|pod| {
            pod["metadata"]["name"]
                .as_str()
                .is_some_and(|name| name.contains("-transfer"))
                && pod["status"]["phase"] == "Running"
        })?;
        let name = match kind {
            "jobs" => pod["metadata"]["ownerReferences"][0]["name"].as_str()?,
            _ => pod["metadata"]["name"].as_str()?,
        };
        case.place
            .api
            .delete(&format!("{path}/{name}"))
            .await
            .then_some(())
    })
    .await;
    let end = case.settle(running.outcome().await).await;
    assert_eq!(end, End::RolledBack);
    case.ends_well(end).await;
}

/// The target node cannot pull the checkpoint image.
async fn not_pulled() {
    let mut case = start("not-pulled").await;
    let mut running = case.migrate();
    assert!(running.says("image pushed").await);
    // From now on only the kubelet asks for it.
    order(
        &case,
        json!({"method": "GET", "status": 404, "times": 1000}),
    )
    .await;
    let end = case.settle(running.outcome().await).await;
    assert_eq!(end, End::RolledBack);
    tokio::time::sleep(LOOK).await;
    case.ends_well(end).await;
}
