//! Jobs, as the transfer uses them.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::support::{Scene, container, push_actor, wait_for};

fn job(name: &str, image: &str, actions: &[&str]) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "backoffLimit": 0,
            "template": { "spec": {
                "restartPolicy": "Never",
                "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{ "matchFields": [
                        { "key": "metadata.name", "operator": "In", "values": ["node-b"] },
                    ] }],
                } } },
                "containers": [{ "name": "main", "image": image, "args": actions }],
            } },
        },
    })
}

async fn ended(scene: &Scene, name: &str) -> Value {
    let jobs = scene.api::<Job>();
    wait_for("the job's end", async || {
        let job = json!(jobs.get(name).await.expect("is there"));
        job["status"]["conditions"].is_array().then_some(job)
    })
    .await
}

fn conditions(job: &Value) -> Vec<(String, String)> {
    let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    conditions
        .map(|one| (text(&one["type"]), text(&one["reason"])))
        .collect()
}

#[tokio::test]
async fn a_job_completes_and_goes_with_its_pods() {
    let scene = Scene::new("jobs").await;
    let image = push_actor(&scene.world, "jobs").await;
    let mut good = job(
        "good",
        &image,
        &["write", "/dev/termination-log", "{\"result\":1}"],
    );
    good["spec"]["ttlSecondsAfterFinished"] = json!(2);
    scene.create::<Job>(good).await;
    let done = ended(&scene, "good").await;
    assert_eq!(done["status"]["succeeded"], 1);
    let reason = "CompletionsReached".to_owned();
    let expected = [
        ("SuccessCriteriaMet".to_owned(), reason.clone()),
        ("Complete".to_owned(), reason),
    ];
    assert_eq!(conditions(&done), expected);
    let own = ListParams::default().labels("job-name=good");
    let pods = scene
        .api::<Pod>()
        .list(&own)
        .await
        .expect("are listed")
        .items;
    let pod = json!(pods.first().expect("is there until the job goes"));
    assert_eq!(pod["spec"]["nodeName"], "node-b");
    assert_eq!(
        container(&pod)["state"]["terminated"]["message"],
        "{\"result\":1}"
    );
    wait_for("the end of the job's time", async || {
        let job = scene.api::<Job>().get_opt("good").await.expect("answers");
        let pods = scene.api::<Pod>().list(&own).await.expect("are listed");
        (job.is_none() && pods.items.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_job_without_retries_fails_when_its_pod_is_lost() {
    let scene = Scene::new("lost-jobs").await;
    let image = push_actor(&scene.world, "lost-jobs").await;
    scene.create::<Job>(job("lost", &image, &["wait"])).await;
    let pods = scene.api::<Pod>();
    let own = ListParams::default().labels("job-name=lost");
    let name = wait_for("a running pod", async || {
        let pod = pods.list(&own).await.expect("are listed").items.pop()?;
        let running = json!(pod)["status"]["phase"] == "Running";
        running.then(|| pod.metadata.name.expect("has a name"))
    })
    .await;
    scene.delete(&name).await;
    let failed = ended(&scene, "lost").await;
    assert_eq!(failed["status"]["failed"], 1);
    let (_, reason) = conditions(&failed).pop().expect("has conditions");
    assert_eq!(reason, "BackoffLimitExceeded");
    assert!(pods.list(&own).await.expect("are listed").items.is_empty());
}

#[tokio::test]
async fn a_job_fails_by_its_pods_or_by_its_deadline() {
    let scene = Scene::new("failing-jobs").await;
    let image = push_actor(&scene.world, "failing-jobs").await;
    scene
        .create::<Job>(job("bad", &image, &["exit", "4"]))
        .await;
    let failed = ended(&scene, "bad").await;
    assert_eq!(failed["status"]["failed"], 1);
    let (kind, reason) = conditions(&failed).pop().expect("has conditions");
    assert_eq!(
        (kind.as_str(), reason.as_str()),
        ("Failed", "BackoffLimitExceeded")
    );

    let mut slow = job("slow", &image, &["wait"]);
    slow["spec"]["activeDeadlineSeconds"] = json!(1);
    scene.create::<Job>(slow).await;
    let failed = ended(&scene, "slow").await;
    let (kind, reason) = conditions(&failed).pop().expect("has conditions");
    assert_eq!(
        (kind.as_str(), reason.as_str()),
        ("Failed", "DeadlineExceeded")
    );
    let own = ListParams::default().labels("job-name=slow");
    wait_for("the end of its pods", async || {
        let pods = scene.api::<Pod>().list(&own).await.expect("are listed");
        pods.items.is_empty().then_some(())
    })
    .await;
}
