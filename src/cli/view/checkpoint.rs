//! What is in a checkpoint archive, for people.

use comfy_table::Table;

use super::{bare, pairs};
use crate::cli::format;
use ms2m_transfer::checkpoint::{
    Connection, Inspection, Mount, Opened, OpenedKind, Process, Protocol,
};

/// All of it: facts, then a table for each kind of thing that is there.
#[must_use]
pub fn text(found: &Inspection) -> String {
    let mut parts = vec![facts(found)];
    parts.extend(section("Processes", processes(&found.processes)));
    parts.extend(section("Connections", connections(&found.connections)));
    parts.extend(section("Open files", files(&found.files)));
    parts.extend(section("Mounts", mounts(&found.mounts)));
    if found.processes.is_empty() {
        parts.push("No image of CRIU's tells of processes.".to_owned());
    }
    parts.extend(
        found
            .left_out
            .iter()
            .map(|what| format!("Not all is shown: {what}.")),
    );
    parts.join("\n\n")
}

fn facts(found: &Inspection) -> String {
    let known = |value: &Option<String>| printable(value.as_deref().unwrap_or("-"));
    let pod = match (&found.namespace, &found.pod) {
        (Some(namespace), Some(pod)) => printable(&format!("{namespace}/{pod}")),
        (_, pod) => known(pod),
    };
    let image = &found.base_image;
    let base = [&image.requested, &image.name, &image.id];
    let base = base.into_iter().flatten().next().cloned();
    let restored = if found.restored {
        " (itself restored)"
    } else {
        ""
    };
    let sizes = &found.sizes;
    pairs(&[
        ("Pod", pod),
        ("Container", known(&found.container)),
        ("Engine", known(&found.engine)),
        ("Runtime", known(&found.runtime)),
        ("Base image", known(&base)),
        ("User", known(&found.user)),
        ("Started", known(&found.created_at) + restored),
        ("Checkpointed", known(&found.checkpointed_at)),
        ("Archive", format::bytes(sizes.archive)),
        ("  memory", format::bytes(sizes.memory)),
        ("  other state", format::bytes(sizes.state)),
        ("  changed files", format::bytes(sizes.files)),
        ("  logs", format::bytes(sizes.logs)),
    ])
}

fn section(title: &str, table: Option<Table>) -> Option<String> {
    let mut table = table?;
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    Some(format!("{title}\n{}", table.trim_fmt()))
}

fn rows<T>(header: &[&str], of: &[T], row: impl Fn(&T) -> Vec<String>) -> Option<Table> {
    let mut table = bare();
    table.set_header(header.to_vec());
    for it in of {
        table.add_row(row(it).iter().map(|cell| printable(cell)));
    }
    (!of.is_empty()).then_some(table)
}

/// Names come from whoever ran in the container, and a terminal obeys control characters.
fn printable(text: &str) -> String {
    let shown = |letter: char| {
        if letter.is_control() {
            '\u{fffd}'
        } else {
            letter
        }
    };
    text.chars().map(shown).collect()
}

fn processes(of: &[Process]) -> Option<Table> {
    rows(&["PID", "PARENT", "THREADS", "COMMAND"], of, |it| {
        vec![
            it.pid.to_string(),
            it.parent.to_string(),
            it.threads.to_string(),
            it.command.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    })
}

fn connections(of: &[Connection]) -> Option<Table> {
    rows(
        &["PROTOCOL", "STATE", "LOCAL", "REMOTE", "PIDS"],
        of,
        |it| {
            let protocol = match it.protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
                Protocol::Other => "other",
            };
            vec![
                protocol.to_owned(),
                it.state.to_owned(),
                it.local.to_string(),
                it.remote
                    .map_or_else(|| "-".to_owned(), |end| end.to_string()),
                pids(&it.pids),
            ]
        },
    )
}

fn files(of: &[Opened]) -> Option<Table> {
    rows(&["KIND", "NAME", "PIDS"], of, |it| {
        let kind = match it.kind {
            OpenedKind::File => "file",
            OpenedKind::Pipe => "pipe",
            OpenedKind::UnixSocket => "unix socket",
            OpenedKind::Terminal => "terminal",
            OpenedKind::Event => "event",
            OpenedKind::Memfd => "memfd",
            OpenedKind::OtherSocket => "other socket",
            OpenedKind::Other => "other",
        };
        let name = it.name.clone().unwrap_or_else(|| "-".to_owned());
        vec![kind.to_owned(), name, pids(&it.pids)]
    })
}

fn mounts(of: &[Mount]) -> Option<Table> {
    rows(&["PATH", "SOURCE"], of, |it| {
        let source = it.source.clone().unwrap_or_else(|| "-".to_owned());
        vec![it.path.clone(), source]
    })
}

fn pids(pids: &[u32]) -> String {
    if pids.is_empty() {
        return "-".to_owned();
    }
    pids.iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(",")
}
