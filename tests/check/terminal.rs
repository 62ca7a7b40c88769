//! What people see on a terminal of 80 and of 200 columns. The terminal is util-linux' `script`.

use crate::support::{App, Options};

/// A run on a terminal of so many columns: its lines as they came, with colours.
async fn on_terminal(
    app: &App,
    columns: u16,
    environment: &[(&str, &str)],
    arguments: &[String],
) -> Vec<String> {
    let quoted = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
    let words: Vec<String> = arguments.iter().map(quoted).collect();
    let ms2m = env!("CARGO_BIN_EXE_ms2m");
    let command = format!(
        "stty cols {columns} rows 50 && exec {ms2m} {}",
        words.join(" ")
    );
    let home = tempfile::tempdir().expect("a home directory");
    let output = tokio::process::Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .env("TERM", "xterm")
        .env("KUBECONFIG", &app.world.places.kubeconfig)
        .envs(app.environment())
        .envs(environment.iter().copied())
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .expect("script is in every Debian's bsdutils");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .map(|line| line.trim_end_matches('\r').to_owned())
        .collect()
}

/// The command's arguments without the format that tests read.
fn for_people(app: &App, command: &str) -> Vec<String> {
    let mut arguments = crate::shown::arguments(app);
    command.clone_into(&mut arguments[0]);
    let format = arguments
        .iter()
        .position(|it| it == "-o" || it == "--output");
    if let Some(at) = format {
        arguments.drain(at..=at + 1);
    }
    arguments
}

fn plain(lines: &[String]) -> Vec<String> {
    let colours = regex::Regex::new("\u{1b}\\[[0-9;]*m").expect("it is right");
    lines
        .iter()
        .map(|line| colours.replace_all(line, "").into_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn widths_adapt_and_colours_are_for_those_who_want_them() {
    let app = App::start("terminal", &Options::default()).await;
    let moved = app.migrate(&["--name", "moved"]).await;
    moved.expect_code(0);
    app.await_consumer().await;

    // Tables with words in them take the width that there is.
    let mut plan = for_people(&app, "plan");
    plan[1].clone_from(&app.target);
    plan[3].clone_from(&app.from);
    let narrow = plain(&on_terminal(&app, 80, &[], &plan).await);
    let wide = plain(&on_terminal(&app, 200, &[], &plan).await);
    let boxed = |line: &&String| line.starts_with(['│', '╭', '╰', '╞']);
    let widest = |lines: &[String]| {
        let widths = lines.iter().filter(boxed).map(|line| line.chars().count());
        widths.max().expect("there are tables")
    };
    assert!(widest(&narrow) <= 80, "{narrow:#?}");
    assert!((81..=200).contains(&widest(&wide)), "{wide:#?}");
    assert!(wide.len() < narrow.len(), "what is wide is not wrapped");

    // Lists and commands to be copied are never wrapped.
    let status = ["status", "-n", &app.namespace].map(str::to_owned);
    let list = on_terminal(&app, 80, &[], &status).await;
    assert!(plain(&list)[1].starts_with("moved "), "{list:#?}");
    let one = [&status[..], &["moved".to_owned()]].concat();
    let coloured = on_terminal(&app, 80, &[], &one).await;
    let bare = on_terminal(&app, 80, &[("NO_COLOR", "1")], &one).await;
    assert!(
        coloured.concat().contains("\u{1b}[32mCompleted"),
        "{coloured:#?}"
    );
    assert!(!bare.concat().contains('\u{1b}'), "{bare:#?}");
    assert!(bare.iter().any(|line| line == "Phases"), "{bare:#?}");

    // The same text, whatever the width.
    let mut check = for_people(&app, "check");
    check[1].clone_from(&app.target);
    check[3].clone_from(&app.from);
    let narrow = on_terminal(&app, 80, &[], &check).await;
    let wide = on_terminal(&app, 200, &[], &check).await;
    assert_eq!(plain(&narrow), plain(&wide));
    assert!(narrow.concat().contains("\u{1b}[32m✓"), "{narrow:#?}");
    app.end().await;
}
