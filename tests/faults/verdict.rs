//! What must hold at the end of every case, whatever failed on the way.

use ms2m_worker::audit::{self, Verdict};
use ms2m_worker::worker::Report;

use crate::case::{Case, End, LOOK};
use crate::support::{DEADLINE, Owner, eventually};

/// How many messages the survivor has to apply after the end, to show that it serves.
const SERVES: u64 = 10;

/// What is excused.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Excuses {
    /// A broker that stops under load delivers again what was applied and not acknowledged yet.
    pub(crate) redelivered: bool,
}

/// Everything of one case in the cluster, at the broker, on the nodes' disks and in the registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    cluster: Vec<String>,
    broker: Vec<String>,
    /// Archives of checkpoints: they hold the memory of a process.
    archives: Vec<String>,
    /// Checkpoints as images: the same.
    images: Vec<String>,
}

impl Listing {
    pub(crate) async fn of(case: &Case) -> Self {
        let mut cluster = Vec::new();
        for (group, kind) in [
            ("/api/v1", "pods"),
            ("/api/v1", "configmaps"),
            ("/api/v1", "secrets"),
            ("/api/v1", "services"),
            ("/apis/batch/v1", "jobs"),
            ("/apis/apps/v1", "statefulsets"),
            ("/apis/apps/v1", "replicasets"),
            ("/apis/coordination.k8s.io/v1", "leases"),
        ] {
            let path = format!("{group}/namespaces/{}/{kind}", case.app.namespace);
            let list = case.place.api.get(&path).await.expect("a list");
            for item in list["items"].as_array().into_iter().flatten() {
                let name = item["metadata"]["name"].as_str().unwrap_or_default();
                // The record of a migration stays, as history.
                let stays = kind == "configmaps" || (kind == "leases" && case.lock_may_stay);
                if !(stays && name.starts_with("ms2m-")) {
                    cluster.push(format!("{kind}/{name}"));
                }
            }
        }
        cluster.sort();
        Self {
            cluster,
            broker: case.app.broker_listing().await,
            archives: if case.archive_may_stay {
                Vec::new()
            } else {
                archives(case)
            },
            images: images(case).await,
        }
    }

    /// The same with the target's name in the source's place.
    fn moved(&self, from: &str, to: &str) -> Self {
        let renamed = |names: &[String]| {
            let mut names: Vec<String> = names.iter().map(|name| name.replace(from, to)).collect();
            names.sort();
            names
        };
        Self {
            cluster: renamed(&self.cluster),
            broker: renamed(&self.broker),
            archives: self.archives.clone(),
            images: self.images.clone(),
        }
    }
}

/// Archives of this case's checkpoints on all nodes.
fn archives(case: &Case) -> Vec<String> {
    let nodes = case.place.world.places.dir.join("nodes");
    let nodes = std::fs::read_dir(nodes).expect("the sandbox keeps its nodes there");
    let mut found = Vec::new();
    for node in nodes.flatten() {
        let directory = node.path().join("var/lib/kubelet/checkpoints");
        let files = std::fs::read_dir(directory).expect("a kubelet makes it");
        for file in files.flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            if name.contains(&case.app.namespace) {
                found.push(format!("{}: {name}", node.file_name().display()));
            }
        }
    }
    found
}

/// Tags in this case's repository.
async fn images(case: &Case) -> Vec<String> {
    let repository = case.repository();
    let (host, path) = repository.split_once('/').expect("host and path");
    let url = format!("http://{host}/v2/{path}/tags/list");
    let answer = reqwest::get(url).await.expect("the registry answers");
    let list: serde_json::Value = answer.json().await.unwrap_or_default();
    let tags = list["tags"].as_array().into_iter().flatten();
    tags.filter_map(|tag| tag.as_str().map(str::to_owned))
        .collect()
}

impl Case {
    /// The pod that serves after such an end.
    pub(crate) fn survivor(&self, end: End) -> &str {
        match end {
            End::Completed => &self.app.target,
            End::RolledBack => &self.app.pod,
        }
    }

    /// Sees that the survivor serves its queue, that its state is exact, and that nothing is left
    /// over; then takes everything away.
    pub(crate) async fn ends_well(self, end: End) {
        self.ends_with(end, Excuses::default()).await;
    }

    /// The same with excuses.
    pub(crate) async fn ends_with(mut self, end: End, excuses: Excuses) {
        let survivor = self.survivor(end).to_owned();
        let report = self.serves(&survivor).await;
        // Where the source goes first it may have been restored where it was.
        if end == End::RolledBack && self.app.owner != Owner::StatefulSet {
            assert_eq!(report.restores, 0, "it is the source itself");
        }
        self.is_exact(&survivor, excuses).await;
        self.is_owned(&survivor).await;
        self.nothing_is_left(end).await;
        self.clear().await;
    }

    /// The owner has the survivor as its own.
    async fn is_owned(&self, survivor: &str) {
        if self.app.owner == Owner::Nobody {
            return;
        }
        eventually("the survivor belongs to its owner", async || {
            let pod = self.pod(survivor).await?;
            let owner = &pod["metadata"]["ownerReferences"][0];
            (owner["name"] == self.app.workload.as_str() && owner["controller"] == true)
                .then_some(())
        })
        .await;
    }

    /// Waits until the pod applies messages from the primary queue.
    pub(crate) async fn serves(&self, pod: &str) -> Report {
        let mut first = None;
        eventually("the survivor serves the primary queue", async || {
            let report = self.report(pod).await?;
            let serves = report.consuming && report.queue == self.app.queue;
            let count = report.state.count;
            let since = *first.get_or_insert(count);
            (serves && count >= since + SERVES).then_some(report)
        })
        .await
    }

    /// Ends the producers, and compares.
    pub(crate) async fn verdict(&mut self, pod: &str, excuses: Excuses) -> Verdict {
        let source = self.source(pod).await.expect("the survivor has an address");
        let producers = self.producers.take().expect("they are at work");
        let mut record = producers.stop().await;
        if let Some(others) = self.past_the_gate.take() {
            record.publishers.extend(others.stop().await.publishers);
        }
        let options = audit::Options {
            allow_redelivered: excuses.redelivered,
        };
        let (verdict, _): (Verdict, Report) = audit::audit(&record, &source, DEADLINE, options)
            .await
            .expect("the survivor shows its state");
        assert!(verdict.confirmed > 0, "an audit of nothing proves nothing");
        verdict
    }

    /// Ends the producers, and audits: everything once, and in order unless the order was told to be in
    /// doubt.
    pub(crate) async fn is_exact(&mut self, pod: &str, excuses: Excuses) {
        let verdict = self.verdict(pod, excuses).await;
        assert!(
            verdict.exact || self.order_in_doubt && (verdict.lost, verdict.doubled) == (0, 0),
            "the surviving state is not exact:\n{}",
            audit::table(&verdict)
        );
    }

    /// Waits until cluster, broker and the source node's disk show what they showed before, but
    /// for the target in the source's place and the record of the migration.
    pub(crate) async fn nothing_is_left(&self, end: End) {
        let expected = match end {
            End::Completed => self.before.moved(&self.app.pod, &self.app.target),
            End::RolledBack => self.before.clone(),
        };
        let until = tokio::time::Instant::now() + DEADLINE;
        loop {
            let now = Listing::of(self).await;
            if now == expected {
                break;
            }
            assert!(
                tokio::time::Instant::now() < until,
                "not as it was found:\nexpected {expected:#?}\nfound {now:#?}"
            );
            tokio::time::sleep(LOOK).await;
        }
    }
}
