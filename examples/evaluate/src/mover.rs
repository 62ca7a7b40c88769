//! What moves the pod: the real `ms2m`, by itself or through a controller, or a deletion. What it says
//! about itself is kept, and not trusted.

use std::time::Duration;

use color_eyre::eyre::Result;
use serde::Deserialize;
use serde_json::Value;

use crate::app::App;
use crate::matrix::{Case, Configuration, Pace, Way};
use crate::observe::{Observer, Used, now, use_of};
use crate::world::World;

/// What came of a move.
#[derive(Debug, Default)]
pub struct Moved {
    /// When it was begun, in seconds since 1970.
    pub began: f64,
    /// When it had ended.
    pub ended: f64,
    /// `ms2m`'s exit code; none for a deletion, or if it was killed.
    pub exit_code: Option<i32>,
    /// What ms2m says that it came to.
    pub summary: Option<Summary>,
    /// Why the pod has not moved.
    pub failure: Option<String>,
    /// What the process took that did it.
    pub used: Option<Used>,
}

/// The summary of `ms2m migrate -o json`, as far as it is used here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "they are ms2m's")]
pub struct Summary {
    pub target_pod: String,
    pub phase_seconds: Vec<(String, f64)>,
    pub total_seconds: f64,
    pub downtime_seconds: f64,
    pub messages_replayed: i64,
    #[serde(default)]
    pub doubts: Vec<String>,
    pub archive_bytes: i64,
    pub layer_bytes: i64,
}

impl Summary {
    /// Seconds of a phase.
    pub fn phase(&self, name: &str) -> Option<f64> {
        let found = self.phase_seconds.iter().find(|(phase, _)| phase == name);
        found.map(|(_, seconds)| *seconds)
    }
}

/// Moves the pod. `controller` is the process that does it where a case is a controller's.
///
/// # Errors
/// When it could not even be tried.
pub async fn migrate(
    world: &World,
    app: &mut App<'_>,
    case: &Case,
    pace: &Pace,
    controller: Option<u32>,
    limit: Duration,
) -> Result<Moved> {
    let began = now();
    if case.way == Way::Recreate {
        let failure = app.recreate().await.err().map(|error| format!("{error:#}"));
        return Ok(Moved {
            began,
            ended: now(),
            failure,
            ..Moved::default()
        });
    }
    let mut command = world.ms2m()?;
    command.args(arguments(world, app, case, pace));
    command.stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    let child = command.spawn()?;
    let process = controller.or(child.id());
    let watched = Observer::start(|stop| async move {
        match process {
            Some(id) => use_of(id, stop).await,
            None => None,
        }
    });
    let output = tokio::time::timeout(limit, child.wait_with_output()).await;
    let (ended, used) = (now(), watched.end().await?);
    let moved = Moved {
        began,
        ended,
        used,
        ..Moved::default()
    };
    let Ok(output) = output else {
        return Ok(Moved {
            failure: Some(format!("not ended within {limit:?}, and killed")),
            ..moved
        });
    };
    let output = output?;
    let (summary, failure) = read(
        &String::from_utf8_lossy(&output.stdout),
        &String::from_utf8_lossy(&output.stderr),
    );
    Ok(Moved {
        exit_code: output.status.code(),
        summary,
        failure,
        ..moved
    })
}

/// The result in the last line of stdout: a summary, or an error in one line.
fn read(stdout: &str, stderr: &str) -> (Option<Summary>, Option<String>) {
    let last = stdout.lines().last().unwrap_or_default();
    let mut value: Value = serde_json::from_str(last).unwrap_or_default();
    if let Ok(summary) = serde_json::from_value(value["summary"].take()) {
        return (Some(summary), None);
    }
    let said = ["what", "because", "code"].map(|field| value["error"][field].as_str());
    let words: Vec<&str> = said.into_iter().flatten().collect();
    let failure = if words.is_empty() {
        let last: Vec<&str> = stderr.lines().rev().take(3).collect();
        last.into_iter().rev().collect::<Vec<_>>().join("; ")
    } else {
        words.join("; ")
    };
    (None, Some(failure))
}

fn arguments(world: &World, app: &App<'_>, case: &Case, pace: &Pace) -> Vec<String> {
    let places = &world.places;
    let repository = format!("{}/checkpoints", places.registry);
    let cutoff = format!("{}ms", pace.cutoff.as_millis());
    let handoff = match case.way {
        Way::Mirror => "mirror",
        Way::Cli | Way::Controller | Way::Recreate => "gate",
    };
    let strategy = match case.configuration {
        Configuration::StatefulsetSequential => "sequential",
        Configuration::Pod | Configuration::Deployment | Configuration::StatefulsetShadow => {
            "shadow-pod"
        }
    };
    let mut arguments = vec!["migrate", &app.pod, "--to", &app.to, "-n", &app.namespace];
    arguments.extend(["--yes", "-o", "json", "--repository", &repository]);
    arguments.extend(["--queue", &app.queue, "--exchange", &app.exchange]);
    arguments.extend(["--routing-key", "orders", "--replay-cutoff", &cutoff]);
    arguments.extend(["--handoff", handoff, "--strategy", strategy]);
    if !places.transfer_image.is_empty() {
        arguments.extend(["--transfer-image", &places.transfer_image]);
    }
    if places.plain_http {
        arguments.push("--registry-plain-http");
    }
    if case.way == Way::Controller {
        arguments.extend(["--via-controller", "--broker-credentials", "broker"]);
    }
    arguments.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    //! Tests of reading what ms2m says.

    use super::*;

    #[test]
    fn the_last_line_has_the_summary() {
        let line = r#"{"event":"completed","summary":{"targetPod":"w","phaseSeconds":[["Pending",0.5]],
            "totalSeconds":1.5,"downtimeSeconds":0.1,"messagesReplayed":3,"archiveBytes":9,"layerBytes":8,"x":1}}"#;
        let (summary, failure) = read(&format!("{{}}\n{}", line.replace('\n', "")), "");
        let summary = summary.expect("there is one");
        assert_eq!(failure, None);
        assert_eq!(summary.phase("Pending"), Some(0.5));
        assert_eq!(summary.phase("Replaying"), None);
    }

    #[test]
    fn a_failure_is_told_in_one_line() {
        let line = r#"{"error":{"what":"no pod","because":"gone","code":"no-pod"}}"#;
        let (_, failure) = read(line, "");
        assert_eq!(failure.as_deref(), Some("no pod; gone; no-pod"));
        let (_, failure) = read("", "a\nb\nc\nd\n");
        assert_eq!(failure.as_deref(), Some("b; c; d"));
    }
}
