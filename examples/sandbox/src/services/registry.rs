//! A private image registry (Debian's `docker-registry`), reached through the fault proxy.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::sync::Mutex;

use super::program::{find, free_port, log_tail, log_to};
use super::{Error, Proxy};
use crate::process;

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    proxy: Proxy,
    child: Mutex<Child>,
}

impl Registry {
    /// Starts a registry on `address` that keeps everything in `dir`.
    ///
    /// # Errors
    /// When the registry is not installed or does not start.
    pub async fn start(dir: &Path, address: IpAddr) -> Result<Self, Error> {
        let program = find("docker-registry", "docker-registry", &[])?;
        let port = free_port(address).map_err(Error::io("find a port for the registry"))?;
        let backend = SocketAddr::new(address, port);
        let configuration = write_configuration(dir, backend)
            .map_err(Error::io("write the registry's configuration"))?;
        let log = dir.join("registry.log");
        let mut command = process::guarded(program);
        command
            .arg("serve")
            .arg(configuration)
            .env_clear()
            .env("HOME", dir)
            // Otherwise it tries to send traces to a collector on this machine, for ever.
            .env("OTEL_TRACES_EXPORTER", "none")
            .kill_on_drop(true);
        log_to(&mut command, &log).map_err(Error::io("open the registry's log"))?;
        let mut child = process::spawn(command)
            .await
            .map_err(Error::io("start docker-registry"))?;
        wait_until_ready(&mut child, backend, &log).await?;
        Ok(Self {
            proxy: Proxy::start(address, backend).await?,
            child: Mutex::new(child),
        })
    }

    /// `host:port` for image references. Plain HTTP.
    pub fn host(&self) -> String {
        self.proxy.address().to_string()
    }

    /// The proxy in front, where faults are ordered.
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Ends the registry.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.proxy.shutdown().await;
        process::end(&mut *self.child.lock().await, Duration::from_secs(1))
            .await
            .map(drop)
            .map_err(Error::io("stop docker-registry"))
    }
}

fn write_configuration(dir: &Path, address: SocketAddr) -> std::io::Result<PathBuf> {
    let storage = dir.join("storage");
    fs::create_dir_all(&storage)?;
    let path = dir.join("config.yml");
    // JSON is YAML. The format is that of distribution 2.8, which version 3 reads as well.
    let configuration = json!({
        "version": 0.1,
        "log": { "level": "warn", "accesslog": { "disabled": true } },
        "storage": {
            "filesystem": { "rootdirectory": storage },
            "delete": { "enabled": true },
            "maintenance": { "uploadpurging": { "enabled": false } },
        },
        "http": { "addr": address.to_string(), "relativeurls": true },
    });
    fs::write(&path, configuration.to_string())?;
    Ok(path)
}

async fn wait_until_ready(child: &mut Child, address: SocketAddr, log: &Path) -> Result<(), Error> {
    let not_ready = |problem: String| Error::NotReady {
        service: "docker-registry",
        problem,
        log: log_tail(log),
    };
    for _ in 0..1000 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        if let Some(status) = child
            .try_wait()
            .map_err(Error::io("wait for docker-registry"))?
        {
            return Err(not_ready(format!("it ended with {status}")));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(not_ready("it does not listen".to_owned()))
}
