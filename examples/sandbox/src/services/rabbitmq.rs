//! A private RabbitMQ: its own directory, cookie, ports and users, with the management plugin.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use super::configuration::{self, Ports};
use super::program::{find, log_tail, log_to, machine_wide_ports};
use super::{Error, connections, epmd, users};
use crate::process;

/// How long a broker may take to start. It takes four to five seconds on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long a broker may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A running broker, which can be stopped and started again with what its queues hold.
#[derive(Debug)]
pub struct Broker {
    program: PathBuf,
    dir: PathBuf,
    ports: Ports,
    password: String,
    epmd: Mutex<Child>,
    server: Mutex<Option<Child>>,
}

impl Broker {
    /// Starts a broker on `address` that keeps everything in `dir`, and waits until it answers.
    ///
    /// # Errors
    /// When RabbitMQ is not installed or does not start.
    pub async fn start(dir: &Path, address: IpAddr) -> Result<Self, Error> {
        let program = find(
            "rabbitmq-server",
            "rabbitmq-server",
            &["/usr/lib/rabbitmq/bin/rabbitmq-server"],
        )?;
        let epmd_program = epmd::program()?;
        // RabbitMQ tries a port on all addresses before it listens on its own.
        let [amqp, management, distribution, epmd_port] =
            machine_wide_ports(address).map_err(Error::io("find ports for the broker"))?;
        fs::create_dir_all(dir).map_err(Error::io("make the broker's directory"))?;
        let epmd = epmd::start(
            &epmd_program,
            epmd::address(epmd_port),
            &dir.join("epmd.log"),
        )
        .await?;
        let broker = Self {
            program,
            dir: dir.to_owned(),
            ports: Ports {
                address,
                amqp,
                management,
                distribution,
                epmd: epmd_port,
            },
            password: users::new_password(),
            epmd: Mutex::new(epmd),
            server: Mutex::new(None),
        };
        configuration::write(&broker.dir, &broker.ports, &broker.password)?;
        broker.resume().await?;
        users::create_powerless(&broker.management_url(), &broker.password).await?;
        Ok(broker)
    }

    /// AMQP URL with the password of user `ms2m`, who may do everything.
    pub fn url(&self) -> String {
        let Ports { address, amqp, .. } = self.ports;
        format!(
            "amqp://{}:{}@{address}:{amqp}/%2f",
            users::ADMIN,
            self.password
        )
    }

    /// AMQP URL of a user who can connect and has no right to anything.
    pub fn powerless_url(&self) -> String {
        let Ports { address, amqp, .. } = self.ports;
        let user = users::POWERLESS;
        format!("amqp://{user}:{}@{address}:{amqp}/%2f", self.password)
    }

    /// URL of the management API, without credentials: those of the AMQP URL serve.
    pub fn management_url(&self) -> String {
        let Ports {
            address,
            management,
            ..
        } = self.ports;
        format!("http://{address}:{management}")
    }

    /// Starts the server if it is not running and waits until it answers. Queues and durable
    /// messages are as they were.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn resume(&self) -> Result<(), Error> {
        let mut server = self.server.lock().await;
        if server.is_some() {
            return Ok(());
        }
        let mut command = self.command();
        log_to(&mut command, &self.log()).map_err(Error::io("open the broker's log"))?;
        let mut child = process::spawn(command)
            .await
            .map_err(Error::io("start rabbitmq-server"))?;
        self.wait_until_ready(&mut child).await?;
        *server = Some(child);
        Ok(())
    }

    /// Stops the server, in order or by SIGKILL, and waits until it is gone. Clients see their
    /// connections end and new ones refused.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn stop(&self, kill: bool) -> Result<(), Error> {
        let mut server = self.server.lock().await;
        let Some(mut child) = server.take() else {
            return Ok(());
        };
        if kill {
            process::signal(&child, Signal::KILL);
        }
        process::end(&mut child, STOP_LIMIT)
            .await
            .map_err(Error::io("stop rabbitmq-server"))?;
        Ok(())
    }

    /// Closes connections as an operator does, and returns how many: those that are on the other
    /// end of one of these sockets, or all. Clients see `CONNECTION_FORCED`.
    ///
    /// # Errors
    /// When the connections cannot be looked up or the broker does not answer.
    pub async fn disconnect(&self, sockets: Option<&HashSet<u64>>) -> Result<usize, Error> {
        let broker = SocketAddr::new(self.ports.address, self.ports.amqp);
        let clients = connections::clients_of(broker)
            .map_err(Error::io("look the broker's connections up"))?;
        let mut closed = 0;
        for client in clients {
            if sockets.is_none_or(|sockets| sockets.contains(&client.socket)) {
                closed += usize::from(self.close(broker, client).await?);
            }
        }
        Ok(closed)
    }

    /// Closes one connection; false if it ended before.
    async fn close(&self, broker: SocketAddr, client: connections::Client) -> Result<bool, Error> {
        let name = format!("{} -> {broker}", client.address);
        let url = self.management_url();
        // The broker knows a connection by its name some moments after it was opened.
        for _ in 0..500 {
            if users::close_connection(&url, &self.password, &name).await? {
                return Ok(true);
            }
            let clients = connections::clients_of(broker)
                .map_err(Error::io("look the broker's connections up"))?;
            if !clients.contains(&client) {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let problem = format!("the broker does not know the connection {name}");
        Err(Error::io("close a connection")(io::Error::other(problem)))
    }

    /// Ends the broker and its port mapper for good. Its data goes with its directory, so
    /// nothing is saved.
    ///
    /// # Errors
    /// When they cannot be waited for.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.stop(true).await?;
        process::end(&mut *self.epmd.lock().await, Duration::from_secs(1))
            .await
            .map_err(Error::io("stop epmd"))?;
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    fn command(&self) -> Command {
        let dir = &self.dir;
        let mut command = process::guarded(&self.program);
        command
            // What it leaves there goes with the directory.
            .current_dir(dir)
            // Nothing of the machine's own RabbitMQ may leak in.
            .env_clear()
            .env("ERL_INETRC", dir.join("inetrc"))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", dir)
            // The server's own address serves nobody else, so 'localhost' cannot clash.
            .env("RABBITMQ_NODENAME", format!("ms2m-{}@localhost", self.ports.amqp))
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            .env("ERL_EPMD_ADDRESS", epmd::address(0).ip().to_string())
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", dir.join("none.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", dir.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", dir.join("log"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_PID_FILE", dir.join("pid"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", dir.join("config"))
            // Without it the shell script stays between this process and the server, and would
            // be the one to die.
            .env("RABBITMQ_ALLOW_INPUT", "true")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                // The distribution port is for this machine only. The scheduler threads of an
                // idle broker must not spin on a machine that builds and tests at the same time.
                "-noinput -kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
            )
            .kill_on_drop(true);
        command
    }

    async fn wait_until_ready(&self, child: &mut Child) -> Result<(), Error> {
        let not_ready = |problem: String| Error::NotReady {
            service: "rabbitmq-server",
            problem,
            log: log_tail(&self.log()),
        };
        let deadline = Instant::now() + START_LIMIT;
        let amqp = SocketAddr::new(self.ports.address, self.ports.amqp);
        loop {
            if let Some(status) = child
                .try_wait()
                .map_err(Error::io("wait for rabbitmq-server"))?
            {
                return Err(not_ready(format!("it ended with {status}")));
            }
            // The AMQP listener comes up last, when all plugins are running.
            if TcpStream::connect(amqp).await.is_ok()
                && users::management_answers(&self.management_url(), &self.password).await
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(not_ready("it does not answer".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
