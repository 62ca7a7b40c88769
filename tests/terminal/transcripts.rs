//! What each command shows: off a terminal, on one of 80 and of 200 columns, with colours and without.
//! What is the same everywhere is kept once, under `stdout` and `stderr`; what a terminal shows is kept
//! where it is another text, and of the colours the lines that have any.
//!
//! `INSTA_UPDATE=always cargo test --workspace --test terminal` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use regex::Regex;
use serde_json::json;

use crate::stage::{Stage, begun, completed, manifest, rolled_back};
use crate::support::terminal::Left;
use crate::support::world::binary;
use crate::support::{App, Options, Owner, Terminal, World, eventually};

const NAMESPACE: &str = "shop";

/// So many lines of a text are kept; the rest of a longer one, which is a file, is kept elsewhere.
const LINES: usize = 80;

/// A command line, and its exit code. `ARCHIVE` stands for one that is in the repository.
const CASES: [(&str, i32); 42] = [
    ("--help", 0),
    ("frobnicate", 2),
    ("check", 0),
    ("check worker-0 --to node-b", 0),
    ("check worker-0 --to node-z", 3),
    ("plan worker-0 --to node-b", 0),
    ("plan worker-9 --to node-b", 3),
    ("migrate worker-0 --to node-b --dry-run", 0),
    ("migrate worker-0 --to node-z --yes", 3),
    ("migrate deployment/worker", 2),
    ("drain node-a --dry-run", 0),
    ("drain node-z --dry-run", 3),
    ("create worker-0 --to node-b --name made", 0),
    ("status", 0),
    ("status -o wide", 0),
    ("status -o name", 0),
    ("status moved", 0),
    ("status failed", 0),
    ("status under-way", 0),
    ("status mover", 3),
    ("watch moved", 0),
    ("watch failed", 4),
    ("logs moved", 0),
    ("abort failed", 0),
    ("retry failed --new-name again", 0),
    ("retry moved", 3),
    ("delete gone", 0),
    ("delete under-way --wait=false", 3),
    ("checkpoint inspect ARCHIVE", 0),
    ("support-bundle moved --file bundle.tar.gz", 0),
    ("explain image-not-known", 0),
    ("explain image-not-know", 2),
    ("controller --listen nowhere", 2),
    (
        "install --dry-run=client --image registry.example.com/ms2m:1",
        0,
    ),
    ("install --export", 0),
    ("uninstall", 0),
    ("crd", 0),
    ("completion bash --static", 0),
    ("completion zsh --static", 0),
    ("completion fish --static", 0),
    ("completion install bash", 0),
    ("man pages", 0),
];

/// Commands that have parts of their own, and none themselves.
fn commands(of: &clap::Command, before: &str, found: &mut BTreeSet<String>) {
    for command in of.get_subcommands().filter(|it| !it.is_hide_set()) {
        let name = format!("{before}{}", command.get_name());
        if command.get_arguments().any(clap::Arg::is_positional) || !command.has_subcommands() {
            found.insert(name.clone());
        }
        commands(command, &format!("{name} "), found);
    }
}

#[test]
fn every_command_has_a_transcript() {
    let mut all = BTreeSet::new();
    commands(&ms2m::cli::command(), "", &mut all);
    assert!(all.contains("checkpoint inspect"), "{all:?}");
    for command in all {
        let is_of =
            |(line, _): &(&str, i32)| format!("{line} ").starts_with(&format!("{command} "));
        assert!(CASES.iter().any(is_of), "{command} has none");
    }
}

/// The namespace `shop`: a worker, and migrations in each state.
async fn scene() -> (App, Stage) {
    let world = World::get();
    let app = App {
        world,
        pod: "worker-0".to_owned(),
        target: "worker-0-shadow".to_owned(),
        namespace: NAMESPACE.to_owned(),
        exchange: "events".to_owned(),
        queue: "orders".to_owned(),
        routing_key: "orders.new".to_owned(),
        from: world.source_node.clone(),
        to: world.target_node.clone(),
        owner: Owner::Nobody,
        workload: "worker-0".to_owned(),
    };
    crate::support::controller::install_crd(world).await;
    world.kubectl(&["create", "namespace", NAMESPACE]).await;
    let options = Options {
        annotated: true,
        ..Options::default()
    };
    let app = app.run_it(&options).await;
    let stage = Stage {
        world,
        namespace: NAMESPACE.to_owned(),
    };
    for (name, status) in [
        // In the order of a list of those made in one second, whether they are or not.
        ("failed", rolled_back("image not known")),
        ("moved", completed()),
        ("under-way", begun("Restoring", json!({}))),
    ] {
        let mut manifest = manifest(name);
        // Of other pods, since this one is to be moved.
        manifest["spec"]["sourcePod"] = json!(format!("worker-of-{name}"));
        stage.apply(&manifest).await;
        stage.status(name, status).await;
    }
    (app, stage)
}

/// Makes what a command takes away, and takes away what it makes.
async fn put_back(stage: &Stage, line: &str) {
    let gone = match line {
        "create worker-0 --to node-b --name made" => "made",
        "retry failed --new-name again" => "again",
        "delete gone" => {
            stage.apply(&manifest("gone")).await;
            return stage.status("gone", completed()).await;
        }
        _ => return,
    };
    stage
        .kubectl(&["delete", "sm", gone, "--ignore-not-found"])
        .await;
}

/// What `ms2m` needs to know, as environment.
fn settings(app: &App) -> Vec<(&'static str, String)> {
    let places = &app.world.places;
    let mut settings = app.environment();
    settings.extend([
        (
            "MS2M_REPOSITORY",
            format!("{}/checkpoints", places.registry),
        ),
        ("MS2M_TRANSFER_IMAGE", places.transfer_image.clone()),
        ("MS2M_REGISTRY_PLAIN_HTTP", "true".to_owned()),
    ]);
    settings
}

/// A run off a terminal: exit code, stdout, stderr.
async fn piped(
    world: &World,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let home = tempfile::tempdir().expect("a home directory");
    let output = tokio::process::Command::new(binary("ms2m"))
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .env("SHELL", "/bin/bash")
        .env("KUBECONFIG", &world.places.kubeconfig)
        .envs(environment.iter().copied())
        .current_dir(home.path())
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .expect("ms2m starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// What varies from run to run is called the same; what is aligned to it is not.
struct Same(Vec<(Regex, &'static str)>);

impl Same {
    fn new(world: &World) -> Self {
        let repository = env!("CARGO_MANIFEST_DIR");
        let kubeconfig = world.places.kubeconfig.display().to_string();
        let patterns = [
            (regex::escape(&kubeconfig), "KUBECONFIG"),
            (regex::escape(repository), "REPOSITORY"),
            (r"/tmp/\.tmp\w+".to_owned(), "HOME"),
            (r"\b127(\.\d+){3}(:\d+)?".to_owned(), "ADDRESS"),
            (r"sha256:[0-9a-f]{64}".to_owned(), "sha256:DIGEST"),
            (
                r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}".to_owned(),
                "UID",
            ),
            (r"worker-0-[a-z0-9]{5}\b".to_owned(), "worker-0-RANDOM"),
            (
                r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?".to_owned(),
                "TIME",
            ),
            (r"\b(\d+y)?\d+d(\d+h)?( ago)?\b".to_owned(), "AGE"),
            (r"\b\d+(\.\d+)? [KM]iB".to_owned(), "SIZE"),
            (r"\b\d+\.\d+ ?s\b".to_owned(), "SECONDS"),
            (r"RabbitMQ \d[\w.-]*".to_owned(), "RabbitMQ VERSION"),
            (r"v?1\.\d\d\.\d+[+\w.-]*".to_owned(), "VERSION"),
            (r"\b[0-9a-f]{12}\b".to_owned(), "HASH"),
            // What was measured, and is wrapped as it comes.
            (r"(?m)(^[│╭╰╞].*\n?)+".to_owned(), "(a table)\n"),
            (r"\b\d+(\.\d+)? ?(ms|m\d+s|m|s|B|/s)\b".to_owned(), "FIGURE"),
            (r" {3,}".to_owned(), "  "),
            // Other tests may have had it pulled there.
            (
                r"(?m)^  (‹\w+›)?[✓-](‹›)? node node-b has the image.*(\n  the node does not tell.*)?"
                    .to_owned(),
                "  ✓ node node-b has the image",
            ),
            (r"✓ \d+  ! 0  ✗ (\d)  - \d".to_owned(), "✓ MANY  ! 0  ✗ $1"),
        ];
        let compiled =
            patterns.map(|(pattern, name)| (Regex::new(&pattern).expect("it is right"), name));
        Self(compiled.into())
    }

    fn of(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (pattern, name) in &self.0 {
            text = pattern.replace_all(&text, *name).into_owned();
        }
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() <= LINES {
            return text;
        }
        format!("{}\n(and so on)", lines[..6].join("\n"))
    }
}

fn section(transcript: &mut String, title: &str, text: &str) {
    if !text.is_empty() {
        let _ = writeln!(transcript, "── {title}\n{text}");
    }
}

struct Studio<'a> {
    app: &'a App,
    stage: &'a Stage,
    same: Same,
}

impl Studio<'_> {
    async fn on_terminal(
        &self,
        columns: u16,
        words: &[&str],
        environment: &[(&str, &str)],
    ) -> Left {
        let size = (columns, 600);
        Terminal::start(self.app.world, size, words, environment)
            .left()
            .await
    }

    /// Runs a command line in every way, and writes down what it showed.
    async fn transcript(&self, line: &str, code: i32) -> String {
        let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/archive/crio.tar");
        let mut words: Vec<&str> = line
            .split(' ')
            .map(|word| if word == "ARCHIVE" { archive } else { word })
            .collect();
        let of_no_namespace = ["--help", "frobnicate", "install", "uninstall", "controller"];
        if !of_no_namespace.contains(&words[0]) {
            words.extend(["-n", NAMESPACE]);
        }
        let settings = settings(self.app);
        let mut environment: Vec<(&str, &str)> = settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();

        put_back(self.stage, line).await;
        let (came, stdout, stderr) = piped(self.app.world, &words, &environment).await;
        assert_eq!(came, Some(code), "{line}\n{stdout}\n{stderr}");
        assert!(
            !stdout.contains('\u{1b}') && !stderr.contains('\u{1b}'),
            "{line}: colours"
        );
        put_back(self.stage, line).await;
        let narrow = self.on_terminal(80, &words, &environment).await;
        put_back(self.stage, line).await;
        let wide = self.on_terminal(200, &words, &environment).await;
        put_back(self.stage, line).await;
        environment.push(("NO_COLOR", "1"));
        let bare = self.on_terminal(80, &words, &environment).await;
        for left in [&narrow, &wide, &bare] {
            assert_eq!(left.code, code, "{line}\n{}", left.text);
        }

        let text = |left: &Left| self.same.of(&left.text);
        let (one, other) = (text(&narrow), text(&bare));
        let different = one
            .lines()
            .zip(other.lines())
            .find(|(one, other)| one != other);
        assert_eq!(different, None, "{line}: colours change words");
        assert!(!bare.coloured.contains('‹'), "{line}: {}", bare.coloured);
        let (stdout, stderr) = (self.same.of(&stdout), self.same.of(&stderr));
        let piped = [format!("{stderr}\n{stdout}"), format!("{stdout}\n{stderr}")];
        let mut transcript = format!("$ ms2m {line}\n");
        section(&mut transcript, "stdout", &stdout);
        section(&mut transcript, "stderr", &stderr);
        let is_piped = |text: &str| piped.iter().any(|piped| piped.trim() == text.trim());
        if !is_piped(&text(&narrow)) {
            section(
                &mut transcript,
                "on a terminal of 80 columns",
                &text(&narrow),
            );
        }
        if text(&wide) != text(&narrow) && !is_piped(&text(&wide)) {
            section(
                &mut transcript,
                "on a terminal of 200 columns",
                &text(&wide),
            );
        }
        let coloured: Vec<&str> = narrow
            .coloured
            .lines()
            .filter(|line| line.contains('‹'))
            .take(20)
            .collect();
        section(
            &mut transcript,
            "colours",
            &self.same.of(&coloured.join("\n")),
        );
        let _ = writeln!(transcript, "── exit code {code}\n");
        transcript
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_show_what_they_showed_before() {
    let (app, stage) = scene().await;
    let same = Same::new(app.world);
    let studio = Studio {
        app: &app,
        stage: &stage,
        same,
    };
    // The broker's statistics come some seconds after a consumer.
    eventually(
        "the broker shows that the worker acknowledges",
        async || {
            let words = ["check", "worker-0", "--to", "node-b", "-n", NAMESPACE];
            let settings = settings(&app);
            let environment: Vec<(&str, &str)> = settings
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let (_, stdout, _) = piped(app.world, &words, &environment).await;
            stdout
                .contains("✓ it acknowledges what it has applied")
                .then_some(())
        },
    )
    .await;
    let mut transcripts: BTreeMap<&str, String> = BTreeMap::new();
    for (line, code) in CASES {
        let command = line.split(' ').next().unwrap_or_default();
        let of = transcripts
            .entry(command.trim_start_matches('-'))
            .or_default();
        of.push_str(&studio.transcript(line, code).await);
    }
    for (command, transcript) in transcripts {
        insta::assert_snapshot!(command, transcript);
    }
    app.end().await;
}
