//! Where runs are made: a sandbox that is started for them, or a cluster that flags name. What is done
//! there is the same.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use color_eyre::eyre::{Result, WrapErr as _, bail, eyre};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{conditions, wait::await_condition};
use kube::{Client, Config};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// Where everything is. The sandbox prints these.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Places {
    /// The cluster.
    pub kubeconfig: PathBuf,
    /// The broker as it is reached from here, with user and password.
    pub broker_url: String,
    /// As pods reach it, where that is another address.
    #[serde(default)]
    pub broker_url_in_pods: Option<String>,
    /// The broker's management API; empty for the default.
    #[serde(default)]
    pub management_url: String,
    /// Host and port, or name, of the registry.
    pub registry: String,
    /// Image of the reference worker.
    pub worker_image: String,
    /// Image of the transfer Job; empty for ms2m's default.
    pub transfer_image: String,
    /// Two nodes, between which pods are moved.
    pub nodes: Vec<String>,
    /// Whether the registry speaks plain HTTP.
    #[serde(default)]
    pub plain_http: bool,
}

/// The world of some runs.
pub struct World {
    /// Where everything is.
    pub places: Places,
    /// The Kubernetes API.
    pub client: Client,
    /// The sandbox ends when its standard input closes, however this process ends.
    sandbox: Option<(Child, ChildStdin)>,
    controller: Option<Child>,
    home: tempfile::TempDir,
}

/// How long anything that is not measured may take: these machines are shared.
pub const PATIENCE: Duration = Duration::from_secs(90);

impl World {
    /// Starts a sandbox with two nodes.
    ///
    /// # Errors
    /// When it does not start; its own words are on stderr then.
    pub async fn sandbox() -> Result<Self> {
        let mut child = Command::new(program("ms2m-sandbox")?)
            .args(["up", "--until-stdin-closes", "--nodes", "node-a,node-b"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(false)
            .spawn()
            .wrap_err("failed to start ms2m-sandbox")?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            bail!("the sandbox has no pipes");
        };
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line());
        let line = line.await.wrap_err("the sandbox does not start")??;
        let line = line.ok_or_else(|| eyre!("the sandbox has ended at once"))?;
        let mut places: Places =
            serde_json::from_str(&line).wrap_err("the sandbox does not say where everything is")?;
        places.plain_http = true;
        let world = Self::of(places, Some((child, stdin))).await?;
        // At once, so that all runs keep their record in the same kind of object.
        world.install_crd().await?;
        Ok(world)
    }

    /// A cluster that is there.
    ///
    /// # Errors
    /// When its kubeconfig cannot be used.
    pub async fn cluster(places: Places) -> Result<Self> {
        Self::of(places, None).await
    }

    async fn of(places: Places, sandbox: Option<(Child, ChildStdin)>) -> Result<Self> {
        let kubeconfig = Kubeconfig::read_from(&places.kubeconfig)
            .wrap_err_with(|| format!("failed to read {}", places.kubeconfig.display()))?;
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        Ok(Self {
            places,
            client: Client::try_from(config)?,
            sandbox,
            controller: None,
            home: tempfile::tempdir()?,
        })
    }

    /// Whether this is a sandbox: it counts requests, and its pods are reached from here.
    pub fn is_sandbox(&self) -> bool {
        self.sandbox.is_some()
    }

    /// A command of the real `ms2m`, with nothing of this process's environment that it would read.
    ///
    /// # Errors
    /// When it is not built.
    pub fn ms2m(&self) -> Result<Command> {
        let mut command = Command::new(program("ms2m")?);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("KUBECONFIG", &self.places.kubeconfig)
            .env("MS2M_BROKER_URL", &self.places.broker_url)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if !self.places.management_url.is_empty() {
            command.env("MS2M_MANAGEMENT_URL", &self.places.management_url);
        }
        Ok(command)
    }

    /// The process of a controller for all namespaces, which is started by whoever asks first.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn controller(&mut self) -> Result<u32> {
        if self.controller.is_none() {
            self.install_crd().await?;
            let mut command = self.ms2m()?;
            let (name, value) = ms2m::install::ALLOCATOR;
            command
                .args(["controller", "--listen", "127.0.0.1:0"])
                .args(["--lease-namespace", "default", "--lease", "ms2m-evaluate"])
                .env(name, value)
                .stderr(Stdio::null());
            let child = command.spawn().wrap_err("failed to start the controller")?;
            self.controller = Some(child);
        }
        let id = self.controller.as_ref().and_then(Child::id);
        id.ok_or_else(|| eyre!("the controller has ended"))
    }

    /// Installs what `ms2m crd` prints, where it is not there yet.
    async fn install_crd(&self) -> Result<()> {
        const NAME: &str = "statefulmigrations.migration.ms2m.io";
        let output = self.ms2m()?.arg("crd").output().await?;
        let crd: Value = serde_yaml::from_slice(&output.stdout)?;
        let crd: CustomResourceDefinition = serde_json::from_value(crd)?;
        let api = Api::<CustomResourceDefinition>::all(self.client.clone());
        match api.create(&PostParams::default(), &crd).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            made => drop(made.wrap_err("failed to install the CRD")?),
        }
        let established = await_condition(api, NAME, conditions::is_crd_established());
        tokio::time::timeout(PATIENCE, established)
            .await
            .wrap_err("the CRD is not established")??;
        Ok(())
    }

    /// The number of the latest request to the API server; none where they are not counted.
    pub async fn last_request(&self) -> Option<i64> {
        let log = self.requests_since(i64::MAX).await?;
        log["last"].as_i64()
    }

    /// How many requests ms2m has made since that number.
    pub async fn own_requests_since(&self, since: i64) -> Option<u64> {
        let log = self.requests_since(since).await?;
        let own = |entry: &&Value| {
            let agent = entry["userAgent"].as_str().unwrap_or_default();
            agent.starts_with("ms2m/")
        };
        Some(log["log"].as_array()?.iter().filter(own).count() as u64)
    }

    async fn requests_since(&self, since: i64) -> Option<Value> {
        if !self.is_sandbox() {
            return None;
        }
        let path = format!("/sandbox/requests?since={since}");
        let request = http::Request::get(path).body(Vec::new()).ok()?;
        self.client.request(request).await.ok()
    }

    /// Ends the controller and the sandbox, and waits until they have.
    pub async fn end(mut self) {
        if let Some(mut controller) = self.controller.take() {
            let _ = controller.kill().await;
        }
        if let Some((mut sandbox, stdin)) = self.sandbox.take() {
            drop(stdin);
            // One that hangs notices its closed input later, or dies with its caller.
            let _ = tokio::time::timeout(PATIENCE, sandbox.wait()).await;
        }
    }
}

/// A program of the workspace, which is built into the same directory as this one.
///
/// # Errors
/// When it is not there.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().wrap_err("failed to find this program")?;
    let directory = own.parent().unwrap_or(Path::new("/"));
    // A test's executable lies one directory deeper.
    [directory, directory.parent().unwrap_or(directory)]
        .map(|directory| directory.join(name))
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| {
            eyre!("{name} is not beside this program: cargo build --workspace --bins builds it")
        })
}
