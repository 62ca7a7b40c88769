//! A private RabbitMQ out of Debian's package: its own directory, ports and port mapper.
//!
//! A shell watches over each: it waits for the end of the test process, however that comes, and
//! then ends the broker and removes its directory. A test process that is killed, or a broker
//! in a static, would leave both behind otherwise.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// How long a broker may take to start; four to five seconds on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Reads to the end of its input, which is the end of the test process, and cleans up. What it
/// ends it knows by process id, from files that the broker's owner keeps.
const WATCH: &str = r#"trap '' INT TERM HUP; cat >/dev/null
for file in "$0"/*.own-pid; do [ -f "$file" ] && kill -KILL "$(cat "$file")"; done
sleep 0.2; rm -rf "$0""#;

/// A running broker.
pub(crate) struct Broker {
    dir: PathBuf,
    port: u16,
    distribution: u16,
    epmd_port: u16,
    server: Option<Child>,
    _epmd: Child,
    /// Holds the write end of its input.
    _watch: Child,
}

/// The broker that all tests share but those that take it away.
pub(crate) fn shared() -> &'static Broker {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    SHARED.get_or_init(Broker::start)
}

impl Broker {
    /// Starts a broker and waits until it answers.
    pub(crate) fn start() -> Self {
        assert!(
            Path::new(SERVER).exists(),
            "these tests need RabbitMQ: install Debian's package rabbitmq-server"
        );
        let dir = tempfile::tempdir().expect("makes a directory").keep();
        let watch = quiet(Command::new("sh").args(["-c", WATCH]).arg(&dir))
            .stdin(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let [port, distribution, epmd_port] = free_ports();
        let epmd = quiet(Command::new("epmd").args(["-address", "127.0.0.1", "-port"]))
            .arg(epmd_port.to_string())
            .spawn()
            .expect("epmd starts: it is in Debian's package erlang-base");
        let epmd_id = epmd.id();
        let mut broker = Self {
            dir,
            port,
            distribution,
            epmd_port,
            server: None,
            _epmd: epmd,
            _watch: watch,
        };
        broker.write("epmd.own-pid", &epmd_id.to_string());
        wait_for_port(epmd_port, "epmd");
        broker.write(
            "rabbitmq.conf",
            &format!("listeners.tcp.1 = 127.0.0.1:{port}\ndisk_free_limit.absolute = 1MB\n"),
        );
        broker.write("enabled_plugins", "[].\n");
        broker.resume();
        broker
    }

    /// Where to connect.
    pub(crate) fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Ends the server in order; what is durable stays.
    pub(crate) fn stop(&mut self) {
        let mut server = self.server.take().expect("the broker runs");
        super::signal(&server, rustix::process::Signal::TERM);
        server.wait().expect("is ours to wait for");
        std::fs::remove_file(self.file("server.own-pid")).expect("was written");
    }

    /// Starts the server again with what it kept.
    pub(crate) fn resume(&mut self) {
        let server = quiet(&mut Command::new(SERVER))
            // A crash dump goes to the working directory, and must not end up in the sources.
            .current_dir(&self.dir)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", &self.dir)
            .env(
                "RABBITMQ_NODENAME",
                format!("ms2m-worker-{}@localhost", self.port),
            )
            .env("RABBITMQ_DIST_PORT", self.distribution.to_string())
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", self.file("rabbitmq.conf"))
            .env(
                "RABBITMQ_ENABLED_PLUGINS_FILE",
                self.file("enabled_plugins"),
            )
            .env("RABBITMQ_MNESIA_BASE", self.file("mnesia"))
            .env("RABBITMQ_LOG_BASE", self.file("log"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", self.file("config"))
            .env("RABBITMQ_PID_FILE", self.file("pid"))
            // Without it a shell stays between this process and the server, and signals go to
            // the shell alone.
            .env("RABBITMQ_ALLOW_INPUT", "true")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-noinput -kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
            )
            .spawn()
            .expect("the server starts");
        self.write("server.own-pid", &server.id().to_string());
        self.server = Some(server);
        wait_for_port(self.port, "rabbitmq-server");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.file(name), content).expect("the broker's directory is writable");
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
}

/// Ports that were free a moment ago, all different, and below those that the kernel gives to
/// outgoing connections: one of these would keep a broker from starting again.
fn free_ports() -> [u16; 3] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() % 100 * 100;
    [(); 3].map(|()| {
        let mut candidates = std::iter::repeat_with(|| {
            let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
            u16::try_from(20_000 + (first + next) % 10_000).expect("is below 30,000")
        });
        // RabbitMQ tries all addresses, not only its own.
        let free = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
        candidates.find(free).expect("there is no end of them")
    })
}

fn wait_for_port(port: u16, what: &str) {
    let deadline = Instant::now() + START_LIMIT;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < deadline, "{what} does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
}
