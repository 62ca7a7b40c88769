//! A private RabbitMQ out of Debian's package: its own directory, ports and port mapper.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// How long a broker may take to start; four to five seconds on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A running broker. Ended when dropped.
pub struct Broker {
    dir: tempfile::TempDir,
    port: u16,
    distribution: u16,
    epmd_port: u16,
    epmd: Child,
    server: Option<Child>,
}

/// The broker that the tests of one binary share as long as one of them runs.
pub fn shared() -> Arc<Broker> {
    static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());
    let mut shared = SHARED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let broker = Arc::new(Broker::start());
        *shared = Arc::downgrade(&broker);
        broker
    })
}

impl Broker {
    /// Starts a broker and waits until it answers.
    pub fn start() -> Self {
        assert!(
            Path::new(SERVER).exists(),
            "these tests need RabbitMQ: install Debian's package rabbitmq-server"
        );
        let dir = tempfile::tempdir().expect("makes a directory");
        let [port, distribution, epmd_port] = free_ports();
        let epmd = Command::new("epmd")
            .args(["-port", &epmd_port.to_string(), "-address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("epmd starts: it is in Debian's package erlang-base");
        let mut broker = Self {
            dir,
            port,
            distribution,
            epmd_port,
            epmd,
            server: None,
        };
        let deadline = Instant::now() + START_LIMIT;
        wait_for_port(epmd_port, deadline, "epmd");
        std::fs::write(
            broker.file("rabbitmq.conf"),
            format!("listeners.tcp.1 = 127.0.0.1:{port}\ndisk_free_limit.absolute = 1MB\n"),
        )
        .expect("writes");
        std::fs::write(broker.file("enabled_plugins"), "[].\n").expect("writes");
        broker.resume();
        broker
    }

    /// Where to connect.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Ends the server in order; what is durable stays.
    pub fn stop(&mut self) {
        let mut server = self.server.take().expect("the broker runs");
        super::signal(&server, rustix::process::Signal::TERM);
        server.wait().expect("is ours to wait for");
    }

    /// Starts the server again with what it kept.
    pub fn resume(&mut self) {
        let log = std::fs::File::create(self.file("server.log")).expect("makes the log");
        let errors = log.try_clone().expect("duplicates");
        let server = Command::new(SERVER)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", self.dir.path())
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
            .env("RABBITMQ_LOGS", "-")
            // Without it a shell stays between this process and the server, and signals go to
            // the shell alone.
            .env("RABBITMQ_ALLOW_INPUT", "true")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-noinput -kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
            )
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .expect("the server starts");
        self.server = Some(server);
        wait_for_port(self.port, Instant::now() + START_LIMIT, "rabbitmq-server");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        for process in self.server.iter_mut().chain([&mut self.epmd]) {
            // Nothing can be done about a failure here, and nothing follows from it.
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// Ports that were free a moment ago, all different.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3]
        .map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports"));
    listeners.map(|listener| listener.local_addr().expect("is bound").port())
}

fn wait_for_port(port: u16, deadline: Instant, what: &str) {
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < deadline, "{what} does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
}
