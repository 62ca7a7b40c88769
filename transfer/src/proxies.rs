//! The proxy between this program and the registry, where the environment's (`HTTPS_PROXY` and so on)
//! is not to be used: a Job's pod has none, and a proxy's URL may hold a password. So it comes in the
//! file that holds secrets anyway, `config.json`, where Docker has a place for it
//! (`proxies.default`; <https://docs.docker.com/engine/cli/proxy/>).

use oci_client::client::ClientConfig;
use reqwest::{ClientBuilder, NoProxy, Proxy};
use serde::Deserialize;

/// Proxies by the scheme of what is asked for. None of them: as the environment says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Proxies {
    http_proxy: Option<String>,
    https_proxy: Option<String>,
    /// Hosts that are reached without: names, addresses and networks, separated by commas.
    no_proxy: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    proxies: Places,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Places {
    default: Proxies,
}

impl Proxies {
    /// The proxies in the text of a `config.json`.
    ///
    /// # Errors
    /// In words that do not repeat what is there.
    pub(crate) fn of(config: &str) -> Result<Self, String> {
        let wrong = |_| "its proxies.default is not as Docker has it".to_owned();
        let found = serde_json::from_str::<Config>(config).map_err(wrong)?;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let Proxies {
            http_proxy,
            https_proxy,
            no_proxy,
        } = found.proxies.default;
        let proxies = Self {
            http_proxy: given(http_proxy),
            https_proxy: given(https_proxy),
            no_proxy: given(no_proxy),
        };
        for (name, url) in [
            ("httpProxy", &proxies.http_proxy),
            ("httpsProxy", &proxies.https_proxy),
        ] {
            if url.as_ref().is_some_and(|url| Proxy::all(url).is_err()) {
                return Err(format!("its proxies.default.{name} is no URL"));
            }
        }
        Ok(proxies)
    }

    /// Lets a client use them.
    ///
    /// # Errors
    /// None, for those that [`Proxies::of`] has found good.
    pub(crate) fn apply(&self, mut client: ClientBuilder) -> reqwest::Result<ClientBuilder> {
        let but = || self.no_proxy.as_deref().and_then(NoProxy::from_string);
        if let Some(url) = &self.http_proxy {
            client = client.proxy(Proxy::http(url)?.no_proxy(but()));
        }
        if let Some(url) = &self.https_proxy {
            client = client.proxy(Proxy::https(url)?.no_proxy(but()));
        }
        Ok(client)
    }

    /// The same for oci-client's.
    pub(crate) fn configure(&self, client: ClientConfig) -> ClientConfig {
        ClientConfig {
            http_proxy: self.http_proxy.clone(),
            https_proxy: self.https_proxy.clone(),
            no_proxy: self.no_proxy.clone(),
            ..client
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_where_docker_has_them() {
        let config = r#"{"auths":{},"proxies":{"default":{"httpProxy":"",
            "httpsProxy":"http://me:hunter2@proxy:3128","noProxy":"10.0.0.0/8,.local"},
            "tcp://docker":{"httpProxy":"http://other"}}}"#;
        let proxies = Proxies::of(config).expect("they are good");
        assert_eq!(proxies.http_proxy, None);
        let url = "http://me:hunter2@proxy:3128";
        assert_eq!(proxies.https_proxy.as_deref(), Some(url));
        assert_eq!(proxies.no_proxy.as_deref(), Some("10.0.0.0/8,.local"));
        assert_eq!(Proxies::of(r#"{"auths":{}}"#), Ok(Proxies::default()));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (config, place) in [
            (
                r#"{"proxies":{"default":{"httpsProxy":"http://me:hunter2@ho st"}}}"#,
                "httpsProxy",
            ),
            (
                r#"{"proxies":{"default":"http://me:hunter2@proxy"}}"#,
                "proxies.default",
            ),
        ] {
            let why = Proxies::of(config).expect_err("it is wrong");
            assert!(why.contains(place), "{why}");
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}
