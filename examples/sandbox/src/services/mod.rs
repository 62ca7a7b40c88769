//! The real services beside the sandbox's own Kubernetes: a private RabbitMQ and a private
//! image registry from Debian's packages, as child processes with everything they write in the
//! sandbox's directory. No container runs in them, and nothing of them is simulated.

mod configuration;
mod connections;
mod cut;
mod epmd;
mod program;
mod proxy;
mod rabbitmq;
mod registry;
mod users;

pub use connections::sockets_of;
pub use proxy::{Proxy, ProxyFault};
pub use rabbitmq::Broker;
pub use registry::Registry;

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is not installed.
    #[error(
        "{program} was not found: install it with `apt-get install {package}` (Debian's package {package})"
    )]
    Missing {
        /// The program.
        program: &'static str,
        /// Debian's package with the program.
        package: &'static str,
    },
    /// A file could not be written, or a process not be started.
    #[error("failed to {action}")]
    Io {
        /// What was tried.
        action: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The service ended or was not reachable in time.
    #[error("{service} did not start: {problem}{}", tail(.log))]
    NotReady {
        /// The service.
        service: &'static str,
        /// What was seen.
        problem: String,
        /// The end of its log.
        log: String,
    },
}

impl Error {
    fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}

fn tail(log: &str) -> String {
    if log.is_empty() {
        return String::new();
    }
    format!("; the end of its log:\n{log}")
}
