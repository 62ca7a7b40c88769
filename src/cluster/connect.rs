//! From flags, environment and kubeconfig to clients of the API server. Sends no request.

use std::path::PathBuf;

use http::HeaderValue;
use http::header::USER_AGENT;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::KubeCluster;
use super::error::chain;
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// Where the API server is and who asks it.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// The kubeconfig file; none for `KUBECONFIG`, then `~/.kube/config`, then the service
    /// account of the pod that this process runs in.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; none for the current one.
    pub context: Option<String>,
    /// The namespace; none for the context's, then `default`.
    pub namespace: Option<String>,
    /// What the requests call themselves; none for `ms2m/<version>`.
    pub user_agent: Option<String>,
}

/// A client of the cluster that `options` name. No request goes out before the first port method.
///
/// # Errors
/// [`PortError::NotFound`] for a kubeconfig or context that is not there,
/// [`PortError::Invalid`] for one that makes no sense.
pub async fn connect(options: &ConnectOptions) -> PortResult<KubeCluster> {
    let mut config = load(options).await?;
    let agent = options
        .user_agent
        .as_deref()
        .unwrap_or(concat!("ms2m/", env!("CARGO_PKG_VERSION")));
    let agent = HeaderValue::from_str(agent)
        .map_err(|_| PortError::Invalid(format!("{agent:?} cannot be a user agent")))?;
    config.headers.push((USER_AGENT, agent));
    let namespace = options
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    from_config(config, namespace)
}

/// Two clients of one cluster. Both without the library's own retries: it repeats a POST up to 15
/// times on 429, 503 and 504, and each repetition of a checkpoint call would be another
/// checkpoint. The second is for checkpoint calls alone, so that no other request ever shares
/// its connections.
pub(super) fn from_config(mut config: Config, namespace: String) -> PortResult<KubeCluster> {
    config.default_retry = false;
    let mut checkpoint = config.clone();
    // The API server sends no byte until the archive is written.
    checkpoint.read_timeout = None;
    Ok(KubeCluster::new(
        client(config)?,
        client(checkpoint)?,
        namespace,
    ))
}

fn client(config: Config) -> PortResult<Client> {
    Client::try_from(config).map_err(|error| {
        PortError::Invalid(format!(
            "the kubeconfig makes no usable client: {}",
            chain(&error)
        ))
    })
}

async fn load(options: &ConnectOptions) -> PortResult<Config> {
    let kubeconfig = match &options.kubeconfig {
        Some(path) => Kubeconfig::read_from(path).map_err(|error| file_error(&error))?,
        None if options.context.is_none() && in_cluster() => {
            return Config::incluster().map_err(|error| {
                PortError::Invalid(format!(
                    "the pod's service account cannot be used: {}",
                    chain(&error)
                ))
            });
        }
        None => Kubeconfig::read().map_err(|error| file_error(&error))?,
    };
    let chosen = KubeConfigOptions {
        context: options.context.clone(),
        ..KubeConfigOptions::default()
    };
    let contexts: Vec<String> = kubeconfig
        .contexts
        .iter()
        .map(|context| context.name.clone())
        .collect();
    Config::from_custom_kubeconfig(kubeconfig, &chosen)
        .await
        .map_err(|error| context_error(&error, &contexts))
}

/// Whether this process runs in a pod and nobody says otherwise.
fn in_cluster() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
        && std::env::var_os("KUBECONFIG").is_none()
        && !std::env::home_dir().is_some_and(|home| home.join(".kube/config").exists())
}

fn file_error(error: &KubeconfigError) -> PortError {
    match error {
        KubeconfigError::ReadConfig(cause, path)
            if cause.kind() == std::io::ErrorKind::NotFound =>
        {
            PortError::NotFound(format!(
                "there is no kubeconfig at {}; name one with --kubeconfig or in KUBECONFIG",
                path.display()
            ))
        }
        KubeconfigError::ReadConfig(cause, path) => PortError::Invalid(format!(
            "the kubeconfig {} cannot be read: {cause}",
            path.display()
        )),
        KubeconfigError::FindPath => PortError::NotFound(
            "there is no kubeconfig; name one with --kubeconfig or in KUBECONFIG".to_owned(),
        ),
        other => unusable(other),
    }
}

fn unusable(error: &KubeconfigError) -> PortError {
    let why = match error {
        // The library quotes the lines around the mistake, and they may hold a token or a key.
        KubeconfigError::Parse(cause) => {
            let place = cause.location().map_or_else(String::new, |at| {
                format!(" (line {}, column {})", at.line(), at.column())
            });
            format!("it is not a kubeconfig in YAML{place}")
        }
        other => chain(other),
    };
    PortError::Invalid(format!("the kubeconfig cannot be used: {why}"))
}

fn context_error(error: &KubeconfigError, contexts: &[String]) -> PortError {
    let known = if contexts.is_empty() {
        "the kubeconfig has none".to_owned()
    } else {
        format!("the kubeconfig has {}", contexts.join(", "))
    };
    match error {
        KubeconfigError::LoadContext(name) => {
            PortError::NotFound(format!("there is no context {name:?}; {known}"))
        }
        KubeconfigError::CurrentContextNotSet => PortError::NotFound(format!(
            "no context is current; name one with --context ({known})"
        )),
        other => unusable(other),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const KUBECONFIG: &str = r"
apiVersion: v1
kind: Config
current-context: one
clusters:
- name: here
  cluster: {server: 'http://127.0.0.1:1'}
contexts:
- name: one
  context: {cluster: here, user: me, namespace: shop}
- name: two
  context: {cluster: here, user: me}
- name: broken
  context: {cluster: nowhere, user: me}
users:
- name: me
  user: {token: secret-token}
";

    fn options(path: &Path, context: Option<&str>) -> ConnectOptions {
        ConnectOptions {
            kubeconfig: Some(path.to_owned()),
            context: context.map(str::to_owned),
            ..ConnectOptions::default()
        }
    }

    fn written(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("it can be written");
        file
    }

    #[tokio::test]
    async fn the_namespace_comes_from_the_context_unless_named() {
        let file = written(KUBECONFIG);
        let of = |context| {
            let options = options(file.path(), context);
            async move { connect(&options).await.map(|it| it.namespace().to_owned()) }
        };
        assert_eq!(of(None).await.expect("connects"), "shop");
        assert_eq!(of(Some("two")).await.expect("connects"), "default");
        let named = ConnectOptions {
            namespace: Some("elsewhere".into()),
            ..options(file.path(), None)
        };
        let cluster = connect(&named).await.expect("connects");
        assert_eq!(cluster.namespace(), "elsewhere");
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let file = written(KUBECONFIG);
        let words = |error: Option<PortError>| match error {
            Some(PortError::NotFound(words)) => words,
            other => panic!("{other:?}"),
        };
        let unknown = connect(&options(file.path(), Some("three"))).await.err();
        assert_eq!(
            words(unknown),
            r#"there is no context "three"; the kubeconfig has one, two, broken"#
        );
        let absent = Path::new("/nonexistent/kubeconfig");
        let missing = connect(&options(absent, None)).await.err();
        assert!(words(missing).contains("/nonexistent/kubeconfig"));
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_invalid_and_shows_no_secret() {
        for (text, context) in [
            (KUBECONFIG, Some("broken")),
            ("token: secret-token\n: [", None),
        ] {
            let file = written(text);
            let Some(PortError::Invalid(words)) =
                connect(&options(file.path(), context)).await.err()
            else {
                panic!("{context:?} makes no client");
            };
            assert!(!words.contains("secret-token"), "{words}");
        }
    }
}
