//! `ms2m-transfer probe`: looks at the files of the node that it runs on, and reports what they say
//! about checkpoints. It runs nothing, changes nothing, and needs no privilege: what other users of the
//! node may not read is reported as unread.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use ms2m_transfer::env;
use ms2m_transfer::node::{
    self, ARCHIVES, Containerd, Crio, Criu, CriuFiles, CriuOptions, NodeReport, Space,
};
use rustix::fs::{Dir, Mode, OFlags, ResolveFlags, openat2, statvfs};

/// Where distributions and administrators put CRIU, in the order of a service's usual PATH.
const PROGRAMS: [&str; 4] = [
    "/usr/local/sbin/criu",
    "/usr/local/bin/criu",
    "/usr/sbin/criu",
    "/usr/bin/criu",
];

/// Where CRIU's library may lie; below these also a directory of the architecture's name.
const LIBRARIES: [&str; 4] = [
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
];
const LIBCRIU: &str = "libcriu.so.2";

/// No configuration is longer, and no CRIU.
const LONGEST_TEXT: u64 = 1024 * 1024;
const LONGEST_PROGRAM: u64 = 16 * 1024 * 1024;

const AFTER_HELP: &str = "\
Output:
  stdout  one JSON object
  It is also written to the termination log, if that file exists.

Exit codes:
  0    it has looked; what could not be read is in the report
  2    a flag is wrong, or the directory cannot be opened
";

/// Look at a node's files: CRIU, its options, the runtime's switches, the room for checkpoints.
#[derive(Debug, Parser)]
#[command(name = "ms2m-transfer probe", version, after_long_help = AFTER_HELP)]
struct Cli {
    /// Where the node's own /etc, /usr and checkpoint directory are mounted
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,

    /// Existing file that takes the report
    #[arg(long, value_name = "FILE", env = env::TERMINATION_LOG,
          default_value = env::TERMINATION_LOG_DEFAULT,
          value_parser = NonEmptyStringValueParser::new())]
    termination_log: String,
}

/// The whole of the command.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(std::env::args_os().skip(1)) {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(ms2m_transfer::ExitCode::Config.code());
        }
    };
    let root = match Root::open(&cli.root) {
        Ok(root) => root,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{}: {error}", cli.root.display());
            return ExitCode::from(ms2m_transfer::ExitCode::Config.code());
        }
    };
    let text = look(&root).to_termination_message();
    let _ = writeln!(io::stdout(), "{text}");
    if Path::new(&cli.termination_log).exists() {
        let _ = std::fs::write(&cli.termination_log, text);
    }
    ExitCode::SUCCESS
}

fn look(root: &Root) -> NodeReport {
    let mut report = NodeReport::default();
    report.criu = root.criu(&mut report);
    report.libcriu = root.has_libcriu();
    report.options = CriuFiles {
        default: root.options("default", &mut report),
        runc: root.options("runc", &mut report),
        crun: root.options("crun", &mut report),
    };
    let crio = root.tables(
        "/etc/crio/crio.conf",
        "/etc/crio/crio.conf.d",
        "",
        &mut report,
    );
    report.crio = (!crio.is_empty()).then(|| Crio::of(&crio));
    let containerd = root.tables(
        "/etc/containerd/config.toml",
        "/etc/containerd/conf.d",
        ".toml",
        &mut report,
    );
    report.containerd = (!containerd.is_empty()).then(|| Containerd::of(&containerd));
    report.space = root.space();
    report
}

/// The root of the node's files. Links in it lead to where they do on the node, and never out.
struct Root {
    directory: OwnedFd,
    path: PathBuf,
}

impl Root {
    fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            directory: rustix::fs::open(path, flags, Mode::empty())?,
            path: path.to_owned(),
        })
    }

    /// What is at `path` on the node; `None` if nothing is.
    fn at(&self, path: &str) -> io::Result<Option<OwnedFd>> {
        // A pipe or a device must not hold the process.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match openat2(&self.directory, path, flags, Mode::empty(), resolve) {
            Ok(file) => Ok(Some(file)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The first `longest` bytes of a file; `None` if there is none, or it cannot be read.
    fn bytes(&self, path: &str, longest: u64, report: &mut NodeReport) -> Option<Vec<u8>> {
        let read = || {
            let Some(file) = self.at(path)? else {
                return Ok(None);
            };
            let file = File::from(file);
            if !file.metadata()?.is_file() {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            file.take(longest).read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        };
        read().unwrap_or_else(|error: io::Error| {
            report.not_read(path, &error.to_string());
            None
        })
    }

    fn text(&self, path: &str, report: &mut NodeReport) -> Option<String> {
        let bytes = self.bytes(path, LONGEST_TEXT, report)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What one of CRIU's files says.
    fn options(&self, name: &str, report: &mut NodeReport) -> Option<CriuOptions> {
        let text = self.text(&format!("/etc/criu/{name}.conf"), report)?;
        Some(CriuOptions::parse(&text))
    }

    /// What a configuration says: a file, and those of a directory by their names.
    fn tables(
        &self,
        file: &str,
        directory: &str,
        ending: &str,
        report: &mut NodeReport,
    ) -> Vec<toml::Table> {
        let more = self.names(directory, report);
        let more = more.iter().filter(|name| name.ends_with(ending));
        let paths =
            std::iter::once(file.to_owned()).chain(more.map(|name| format!("{directory}/{name}")));
        let mut tables = Vec::new();
        for path in paths {
            let Some(text) = self.text(&path, report) else {
                continue;
            };
            match node::parse(&text) {
                Ok(table) => tables.push(table),
                Err(why) => report.not_read(&path, &why),
            }
        }
        tables
    }

    /// The names in a directory, sorted.
    fn names(&self, directory: &str, report: &mut NodeReport) -> Vec<String> {
        let list = || {
            let Some(found) = self.at(directory)? else {
                return Ok(Vec::new());
            };
            let mut names = Vec::new();
            for entry in Dir::new(found)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if !name.starts_with('.') {
                    names.push(name);
                }
            }
            names.sort();
            Ok(names)
        };
        list().unwrap_or_else(|error: io::Error| {
            report.not_read(directory, &error.to_string());
            Vec::new()
        })
    }

    fn criu(&self, report: &mut NodeReport) -> Option<Criu> {
        let path = PROGRAMS
            .into_iter()
            .find(|path| !matches!(self.at(path), Ok(None)))?;
        let bytes = self.bytes(path, LONGEST_PROGRAM, report);
        Some(Criu {
            path: path.to_owned(),
            version: bytes.and_then(|bytes| node::version(&bytes)),
        })
    }

    fn has_libcriu(&self) -> bool {
        let architecture = format!("{}-linux-gnu", std::env::consts::ARCH);
        LIBRARIES.iter().any(|directory| {
            [
                format!("{directory}/{LIBCRIU}"),
                format!("{directory}/{architecture}/{LIBCRIU}"),
            ]
            .iter()
            .any(|path| !matches!(self.at(path), Ok(None)))
        })
    }

    fn space(&self) -> Option<Space> {
        let found = statvfs(self.path.join(ARCHIVES.trim_start_matches('/'))).ok()?;
        Some(Space {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn node(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory can be made");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("below the root")).expect("it is made");
            fs::write(path, text).expect("it is written");
        }
        root
    }

    fn report(root: &tempfile::TempDir) -> NodeReport {
        look(&Root::open(root.path()).expect("it is there"))
    }

    #[test]
    fn a_node_is_looked_at() {
        let root = node(&[
            ("opt/criu", "\x004.2.1\0Version: %s\n\0"),
            ("etc/criu/runc.conf", "tcp-close\n"),
            (
                "etc/crio/crio.conf",
                "[crio.runtime]\nenable_criu_support = false",
            ),
            (
                "etc/crio/crio.conf.d/10-x",
                "[crio.runtime]\nenable_criu_support = true",
            ),
            ("etc/crio/crio.conf.d/20-y", "="),
            ("usr/lib/libcriu.so.2", ""),
            ("var/lib/kubelet/checkpoints/x", ""),
        ]);
        fs::create_dir_all(root.path().join("usr/sbin")).expect("it is made");
        // As on a node: from the root there.
        symlink("/opt/criu", root.path().join("usr/sbin/criu")).expect("it is linked");
        let report = report(&root);
        let criu = report.criu.as_ref().expect("it is found");
        assert_eq!(criu.path, "/usr/sbin/criu");
        assert_eq!(criu.version.as_deref(), Some("4.2.1"));
        assert!(report.libcriu);
        let runc = report.options.runc.expect("there is such a file");
        assert!(runc.tcp_close && !runc.skip_in_flight);
        assert_eq!(report.options.crun, None);
        let crio = report.crio.as_ref().expect("it is configured");
        assert_eq!(crio.enable_criu_support, Some(true));
        assert_eq!(report.containerd, None);
        assert!(
            report
                .space
                .is_some_and(|it| it.free_bytes <= it.total_bytes)
        );
        assert_eq!(report.unread.len(), 1, "{report:?}");
        assert!(report.unread[0].starts_with("/etc/crio/crio.conf.d/20-y: "));
    }

    #[test]
    fn links_do_not_lead_out_of_it() {
        let root = node(&[("etc/criu/x", "")]);
        symlink(
            "../../../../../../etc/passwd",
            root.path().join("etc/criu/runc.conf"),
        )
        .expect("it is linked");
        assert_eq!(report(&root).options.runc, None);
        assert_eq!(report(&node(&[])), NodeReport::default());
    }
}
