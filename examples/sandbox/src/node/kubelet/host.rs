//! The files of a node on which its checkpoints depend, as an administrator has set them up: CRIU,
//! CRIU's options, the runtime's switches. They are read at each checkpoint, as the real ones are;
//! `skip-in-flight` alone means nothing here.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::node::runtime::{Container, Personality};

/// The program. Nobody runs it: it has a version in it where the real one has it.
const CRIU: &str = "usr/sbin/criu";
const CRIU_BYTES: &str = "\0iptables\x004.2.1\0Version: %s\n\0";

/// The options that CRIU is given by runc, which is the low-level runtime of all nodes.
const OPTIONS: &str = "etc/criu/runc.conf";

const CRIO: &str = "etc/crio/crio.conf.d";

/// Sets a new node up.
pub(super) fn furnish(dir: &Path, personality: Personality) -> io::Result<()> {
    if dir.join("etc").exists() {
        return Ok(());
    }
    let (path, text) = match personality {
        Personality::Crio => (
            "etc/crio/crio.conf.d/10-criu.conf",
            "[crio.runtime]\ndefault_runtime = \"runc\"\nenable_criu_support = true\n",
        ),
        Personality::Containerd => (
            "etc/containerd/config.toml",
            "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd]\ndefault_runtime_name = 'runc'\n",
        ),
    };
    write(&dir.join(path), text)?;
    write(&dir.join(OPTIONS), "tcp-close\nskip-in-flight\n")?;
    write(&dir.join(CRIU), CRIU_BYTES)
}

/// Writes files by their paths on the node, and removes those without a text.
pub(super) fn change(dir: &Path, files: &BTreeMap<String, Option<String>>) -> io::Result<()> {
    for (path, text) in files {
        if path.split('/').any(|part| part == "..") {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let path = dir.join(path.trim_start_matches('/'));
        match text {
            Some(text) => write(&path, text)?,
            None => match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Why the node takes no checkpoint of the container, in the runtime's words.
pub(super) fn refusal(
    dir: &Path,
    personality: Personality,
    container: &Container,
) -> Option<String> {
    let criu = dir.join(CRIU).exists();
    match personality {
        Personality::Crio if !criu || !crio_supports(dir) => {
            return Some("checkpoint/restore support not available".to_owned());
        }
        Personality::Containerd if !criu => {
            return Some("CRIU binary not found or too old (<31600)".to_owned());
        }
        _ => {}
    }
    let options = fs::read_to_string(dir.join(OPTIONS)).unwrap_or_default();
    let closes = options.lines().any(|line| line.trim() == "tcp-close");
    (!closes && container.has_connection()).then(|| {
        "criu failed: type NOTIFY errno 0: Connected TCP socket, consider using --tcp-established option."
            .to_owned()
    })
}

/// What the last of CRI-O's files says; it is on where none says anything.
fn crio_supports(dir: &Path) -> bool {
    let files = fs::read_dir(dir.join(CRIO)).into_iter().flatten().flatten();
    let mut paths: Vec<_> = files.map(|entry| entry.path()).collect();
    paths.sort();
    let texts = paths
        .iter()
        .map(|path| fs::read_to_string(path).unwrap_or_default());
    let lines: Vec<_> = texts
        .flat_map(|it| it.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let said = lines.iter().rev().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "enable_criu_support").then(|| value.trim() == "true")
    });
    said.unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_file_counts() {
        let dir = tempfile::tempdir().expect("a directory can be made");
        furnish(dir.path(), Personality::Crio).expect("it is set up");
        assert!(crio_supports(dir.path()));
        let off = "[crio.runtime]\nenable_criu_support = false\n";
        let files = [(
            "/etc/crio/crio.conf.d/20-x.conf".to_owned(),
            Some(off.to_owned()),
        )];
        change(dir.path(), &files.into()).expect("it is written");
        assert!(!crio_supports(dir.path()));
        // What an administrator has done stays.
        furnish(dir.path(), Personality::Crio).expect("it is there");
        assert!(!crio_supports(dir.path()));
        let files = [("/etc/crio/crio.conf.d/20-x.conf".to_owned(), None)];
        change(dir.path(), &files.into()).expect("it is removed");
        assert!(crio_supports(dir.path()));
        let out = [("/../x".to_owned(), None)];
        change(dir.path(), &out.into()).expect_err("leads out of the node");
    }
}
