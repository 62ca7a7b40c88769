//! `ms2m-transfer receive`: takes one image from a sender on another node, and serves it to this
//! node's container runtime on loopback. It lives for one migration, in a pod of its own.
//!
//! It is no registry: it has one repository, no tags, no deletion, and keeps nothing past its end.

mod answer;
mod loopback;
mod pull;
mod push;
mod range;
mod route;
mod serve;
mod store;
mod tls;
mod vault;

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use ms2m_transfer::direct::{DEFAULT_PORT, TOKEN, push_port};
use ms2m_transfer::env;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;
use crate::sender::{read, unusable};
use serve::Shared;
use store::Store;
use vault::Vault;

/// Where the kubelet says what `localhost` is.
const HOSTS: &str = "/etc/hosts";

/// The most bytes that are kept unless another limit is given: 32 GiB. The kubelet cannot see files
/// without a name in an emptyDir, so its limit alone would not hold.
const LIMIT: u64 = 32 * 1024 * 1024 * 1024;

const AFTER_HELP: &str = "\
Output:
  stdout  one JSON object when it listens: {\"event\":\"listening\",\"registry\":…,\"receiver\":…}
  stderr  words for people
  It runs until SIGTERM or SIGINT. What it was given is encrypted with a key that ends with it.

Exit codes:
  0    told to stop
  2    a flag, the environment, the secrets or the directory cannot be used, or a port is taken
";

/// Take one image from a sender on another node, and serve it to this node's runtime on loopback.
#[derive(Debug, Parser)]
#[command(name = "ms2m-transfer receive", version, after_long_help = AFTER_HELP)]
struct Cli {
    /// The one repository that it takes and serves
    #[arg(long, value_name = "PATH", env = env::RECEIVE_REPOSITORY)]
    repository: String,

    /// Port on loopback that images are pulled from; 0 for any
    #[arg(long, default_value_t = DEFAULT_PORT, env = env::RECEIVE_PORT)]
    port: u16,

    /// Address of this node on which it takes the image, on the next port
    #[arg(long, value_name = "IP", env = env::RECEIVE_ADDRESS)]
    address: IpAddr,

    /// Directory with certificates, key and token
    #[arg(long, value_name = "DIR", env = env::DIRECT_SECRETS)]
    direct_secrets: PathBuf,

    /// Directory to keep the image in, encrypted and without a name
    #[arg(long, value_name = "DIR", env = env::RECEIVE_DIRECTORY)]
    directory: PathBuf,

    /// The most bytes that it keeps
    #[arg(long, value_name = "BYTES", default_value_t = LIMIT)]
    limit: u64,
}

/// The whole of the command.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(std::env::args_os().skip(1)) {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            let _ = error.print();
            return last_words(error.to_string().lines().next().unwrap_or_default());
        }
    };
    // Sealing and the disk must not hold the other connections up.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return last_words(&format!("the process cannot start: {error}")),
    };
    let ended = runtime.block_on(run(cli));
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{failure}");
            last_words(&failure.to_string().replace('\n', ";"))
        }
    }
}

/// Says on the termination log, if there is one, why it could not serve.
fn last_words(words: &str) -> ExitCode {
    let log = std::env::var_os(env::TERMINATION_LOG)
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| env::TERMINATION_LOG_DEFAULT.into());
    if Path::new(&log).exists() {
        let _ = std::fs::write(log, words);
    }
    ExitCode::from(ms2m_transfer::ExitCode::Config.code())
}

/// Serves until a signal says to stop.
async fn run(cli: Cli) -> Result<(), Failure> {
    let secrets = &cli.direct_secrets;
    let tls = tls::acceptor(secrets)?;
    let token = String::from_utf8(read(secrets, TOKEN)?)
        .map_err(|_| unusable(secrets, &"its token is no text"))?;
    let token = token.trim().to_owned();
    if token.is_empty() {
        return Err(unusable(secrets, &"its token is empty"));
    }
    let vault = Vault::new(cli.directory, cli.limit).map_err(|error| cannot("begin", &error))?;
    let shared = Arc::new(Shared {
        store: Store::new(vault),
        repository: cli.repository,
        token,
    });
    let (pulls, registry) = listen_on_loopback(cli.port).await?;
    let port = if cli.port == 0 {
        0
    } else {
        push_port(cli.port)
    };
    let pushes = listen(cli.address, port).await?;
    let receiver = address(&pushes)?;
    let (mut terminate, mut interrupt) = signals()?;
    announce(registry, receiver);
    for listener in pulls {
        tokio::spawn(serve::loopback(listener, Arc::clone(&shared)));
    }
    tokio::select! {
        () = serve::sender(pushes, tls, shared) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn signals() -> Result<(tokio::signal::unix::Signal, tokio::signal::unix::Signal), Failure> {
    let both = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    both.map_err(|error| cannot("listen to signals", &error))
}

/// Listens on every address that is called localhost, of which one has to do.
async fn listen_on_loopback(port: u16) -> Result<(Vec<TcpListener>, SocketAddr), Failure> {
    let mut listening = Vec::new();
    let mut failed = None;
    for address in loopback::addresses(Path::new(HOSTS)) {
        match listen(address, port).await {
            Ok(listener) => listening.push(listener),
            Err(failure) => failed = failed.or(Some(failure)),
        }
        if port == 0 && !listening.is_empty() {
            break;
        }
    }
    match (listening.first(), failed) {
        (Some(first), _) => {
            let first = address(first)?;
            Ok((listening, first))
        }
        (None, Some(failure)) => Err(failure),
        (None, None) => Err(Failure::config(
            "there is no loopback to listen on",
            "see /etc/hosts",
        )),
    }
}

async fn listen(address: IpAddr, port: u16) -> Result<TcpListener, Failure> {
    TcpListener::bind((address, port)).await.map_err(|error| {
        cannot(
            &format!("listen on {}", SocketAddr::new(address, port)),
            &error,
        )
    })
}

fn address(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener
        .local_addr()
        .map_err(|error| cannot("see where it listens", &error))
}

fn cannot(what: &str, error: &std::io::Error) -> Failure {
    Failure::config(
        format!("the receiver cannot {what}: {error}"),
        "another receiver, or something else, may use the ports of the node: choose others with --direct-port",
    )
}

fn announce(registry: SocketAddr, receiver: SocketAddr) {
    let line = serde_json::json!({
        "event": "listening",
        "registry": registry.to_string(),
        "receiver": receiver.to_string(),
    });
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}");
    let _ = stdout.flush();
    tracing::info!("takes an image on {receiver}, and serves it on {registry}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
