//! `ms2m migrate` on a terminal: bars, a counter, and Ctrl-C.

use serde_json::json;

use crate::support::terminal::{CTRL_C, Left};
use crate::support::{App, Options, Terminal};

const PHASES: [&str; 6] = [
    "Pending",
    "Checkpointing",
    "Transferring",
    "Restoring",
    "Replaying",
    "Finalizing",
];

fn start(app: &App, size: (u16, u16), more: &[&str]) -> Terminal {
    let mut arguments = app.migrate_arguments();
    let format = arguments.iter().position(|it| it == "-o");
    if let Some(at) = format {
        arguments.drain(at..=at + 1);
    }
    arguments.push("--yes".to_owned());
    let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    words.extend(more);
    let environment = app.environment();
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    Terminal::start(app.world, size, &words, &environment)
}

/// Lets what the kubelet is asked next for this application take its time.
async fn delay(app: &App, on: &str, milliseconds: u32) {
    let pod = format!("^{}/", app.namespace);
    let order = json!({"on": on, "pod": pod, "delayMs": milliseconds});
    app.world.order("/kubelet", order).await;
}

/// Never a phase twice, nor a line that was left over.
fn steady(frames: &[String]) {
    for frame in frames {
        for phase in PHASES {
            let lines = frame.lines().filter(|line| {
                // The table of the result has them, too.
                if line.starts_with('│') {
                    return false;
                }
                let mut words = line.split_whitespace().skip(1);
                words.next() == Some(phase)
            });
            assert!(
                lines.count() <= 1,
                "{phase} is drawn beside itself:\n{frame}"
            );
        }
    }
}

/// The places of these words in a text, which have to be in order.
fn in_order(text: &str, words: &[&str]) {
    let mut from = 0;
    for word in words {
        let at = text[from..].find(word);
        from += at.unwrap_or_else(|| panic!("'{word}' is not in its place:\n{text}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bars_are_drawn_resized_and_ended() {
    let app = App::start("bars", &Options::default()).await;
    delay(&app, "restore", 3_000).await;
    let mut terminal = start(&app, (100, 24), &[]);
    terminal.shows("Restoring").await;
    for size in [(44, 24), (30, 8), (132, 24)] {
        terminal.resize(size);
        let before = terminal.text();
        terminal
            .await_text("it is drawn again", |text| text != before)
            .await;
        let text = terminal.text();
        steady(&[text]);
    }
    let Left {
        text,
        code,
        frames,
        coloured,
    } = terminal.left().await;
    assert_eq!(code, 0, "{text}");
    steady(&frames);
    let spins = |frame: &String| frame.contains('⠋') && frame.contains("Restoring");
    assert!(frames.iter().any(spins), "nothing moved");
    let marks = PHASES.map(|phase| format!("✓ {phase}"));
    let mut expected: Vec<&str> = vec!["moving "];
    expected.extend(marks.iter().map(String::as_str));
    expected.extend([" moved from ", "│ Phase", "Downtime"]);
    in_order(&text, &expected);
    assert!(!text.contains('⠋') && !text.contains("\n\n"), "{text}");
    assert!(coloured.contains("‹green›✓‹›"), "{coloured}");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_is_one_line() {
    let app = App::start("counter", &Options::default()).await;
    delay(&app, "restore", 500).await;
    let terminal = start(&app, (80, 24), &["--show-progress", "counter"]);
    let Left {
        text, code, frames, ..
    } = terminal.left().await;
    assert_eq!(code, 0, "{text}");
    let counts = |frame: &String| frame.contains("[4/6] Restoring");
    assert!(frames.iter().any(counts), "nothing was counted");
    assert!(
        frames
            .iter()
            .all(|frame| frame.matches("/6] ").count() <= 1)
    );
    assert!(!text.contains("/6]"), "{text}");
    in_order(&text, &["moving ", " moved from "]);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_rolls_back_before_ones_eyes() {
    let app = App::start("once", &Options::default()).await;
    let before = app.broker_listing().await;
    delay(&app, "restore", 60_000).await;
    let mut terminal = start(&app, (80, 24), &[]);
    terminal.shows("Restoring").await;
    terminal.press(CTRL_C).await;
    terminal.shows("again to stop at once").await;
    let Left {
        text, code, frames, ..
    } = terminal.left().await;
    assert_eq!(code, 130, "{text}");
    steady(&frames);
    in_order(
        &text,
        &[
            "✓ Transferring",
            "interrupted:",
            "✗ Restoring",
            "↩ rolling back",
            "  ✓ ",
            "error: ",
        ],
    );
    assert!(!text.contains("^C"), "{text}");
    app.await_broker(&before).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_twice_stops_at_once_and_says_how_to_go_on() {
    let app = App::start("twice", &Options::default()).await;
    let before = app.broker_listing().await;
    delay(&app, "restore", 60_000).await;
    let mut terminal = start(&app, (80, 24), &["--name", "twice"]);
    terminal.shows("Restoring").await;
    // The roll-back is held up, so that there is something to stop.
    let path = format!("/namespaces/{}/pods/", app.namespace);
    let fault = json!({
        "match": {"verb": "delete", "path": path, "userAgent": "ms2m/"},
        "action": {"delayMs": 60_000},
    });
    let order = app.world.order_of_api(fault).await;
    terminal.press(CTRL_C).await;
    terminal.shows("↩ rolling back").await;
    terminal.press(CTRL_C).await;
    let Left {
        text, code, frames, ..
    } = terminal.left().await;
    assert_eq!(code, 130, "{text}");
    steady(&frames);
    let abort = format!("ms2m abort twice -n {}", app.namespace);
    in_order(
        &text,
        &["interrupted:", "✗ Restoring", "stopped at once", &abort],
    );
    assert!(!text.contains("^C"), "{text}");
    app.world.kubectl(&["delete", "--raw", &order]).await;
    app.run(&["abort", "twice"]).await.expect_code(0);
    app.await_broker(&before).await;
    app.end().await;
}
