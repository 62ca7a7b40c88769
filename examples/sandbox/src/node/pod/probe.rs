//! Probes: one try of a probe, and the loop that counts tries.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::LazyLock;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;

/// What a probe that has changed its mind says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It succeeds.
    Success,
    /// It fails for good, for this reason.
    Failure(String),
    /// One try failed; not yet for good.
    Unhealthy(String),
}

/// Tries a probe again and again, and reports every failure and every change of mind until
/// `report` breaks.
pub(crate) async fn watch<T>(
    container: &Container,
    probe: &Probe,
    ip: IpAddr,
    mut report: impl FnMut(Verdict) -> ControlFlow<T>,
) -> T {
    let positive = |value: Option<i32>, default: u32| {
        let value = value.and_then(|value| u32::try_from(value).ok());
        value.filter(|value| *value > 0).unwrap_or(default)
    };
    let seconds = |value, default| Duration::from_secs(positive(value, default).into());
    let period = seconds(probe.period_seconds, 10);
    let timeout = seconds(probe.timeout_seconds, 1);
    let (mut successes, mut failures) = (0, 0);
    tokio::time::sleep(seconds(probe.initial_delay_seconds, 0)).await;
    loop {
        let mut verdicts = Vec::new();
        match attempt(container, probe, ip, timeout).await {
            Ok(()) => {
                (successes, failures) = (successes + 1, 0);
                if successes == positive(probe.success_threshold, 1) {
                    verdicts.push(Verdict::Success);
                }
            }
            Err(why) => {
                (successes, failures) = (0, failures + 1);
                verdicts.push(Verdict::Unhealthy(why.clone()));
                if failures == positive(probe.failure_threshold, 3) {
                    verdicts.push(Verdict::Failure(why));
                }
            }
        }
        for verdict in verdicts {
            if let ControlFlow::Break(result) = report(verdict) {
                return result;
            }
        }
        tokio::time::sleep(period).await;
    }
}

async fn attempt(
    container: &Container,
    probe: &Probe,
    ip: IpAddr,
    timeout: Duration,
) -> Result<(), String> {
    let attempt = async {
        if let Some(action) = &probe.http_get {
            return http_get(container, action, ip).await;
        }
        if let Some(action) = &probe.tcp_socket {
            let port = port(container, &action.port).ok_or("the port has no such name")?;
            let host = action.host.clone().unwrap_or_else(|| ip.to_string());
            return TcpStream::connect((host.as_str(), port))
                .await
                .map(drop)
                .map_err(|error| format!("dial tcp {host}:{port}: {error}"));
        }
        Err("the sandbox runs httpGet and tcpSocket probes only".to_owned())
    };
    match tokio::time::timeout(timeout, attempt).await {
        Ok(result) => result,
        Err(_) => Err("context deadline exceeded".to_owned()),
    }
}

/// Makes a connection of its own for each try, as a kubelet does. A connection kept open would
/// hide that nobody accepts new ones.
static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
    reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .tls_danger_accept_invalid_certs(true)
        .no_proxy()
        .build()
        .expect("nothing in these settings can be refused")
});

async fn http_get(container: &Container, action: &HTTPGetAction, ip: IpAddr) -> Result<(), String> {
    let port = port(container, &action.port).ok_or("the port has no such name")?;
    let host = action.host.clone().unwrap_or_else(|| ip.to_string());
    let path = action.path.as_deref().unwrap_or("/");
    let scheme = action.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
    let url = format!("{scheme}://{host}:{port}{path}");
    let mut request = CLIENT.get(&url).header("user-agent", "kube-probe/1.36");
    for header in action.http_headers.iter().flatten() {
        request = request.header(&header.name, &header.value);
    }
    let answer = request
        .send()
        .await
        .map_err(|error| format!("Get {url:?}: {error}"))?;
    let status = answer.status().as_u16();
    if (200..400).contains(&status) {
        Ok(())
    } else {
        Err(format!("HTTP probe failed with statuscode: {status}"))
    }
}

/// A port by its number or by its name in the container.
fn port(container: &Container, port: &IntOrString) -> Option<u16> {
    match port {
        IntOrString::Int(port) => u16::try_from(*port).ok(),
        IntOrString::String(name) => name.parse().ok().or_else(|| {
            let mut ports = container.ports.iter().flatten();
            let found = ports.find(|port| port.name.as_ref() == Some(name))?;
            u16::try_from(found.container_port).ok()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn verdicts_follow_the_listener() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("listens");
        let address = listener.local_addr().expect("has an address");
        let probe: Probe = serde_json::from_value(serde_json::json!({
            "tcpSocket": { "port": address.port() }, "periodSeconds": 1, "failureThreshold": 2,
        }))
        .expect("is a probe");
        let container = Container::default();
        let mut listener = Some(listener);
        let mut seen = Vec::new();
        watch(&container, &probe, address.ip(), |verdict| {
            // Nobody listens any more after the first success.
            listener.take();
            let over = matches!(verdict, Verdict::Failure(_));
            seen.push(verdict);
            if over {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .await;
        let [success, first, second, failure] = &seen[..] else {
            unreachable!("four verdicts, not {seen:?}");
        };
        assert_eq!(*success, Verdict::Success);
        assert!(matches!(first, Verdict::Unhealthy(_)), "{first:?}");
        assert!(matches!(second, Verdict::Unhealthy(_)), "{second:?}");
        assert!(matches!(failure, Verdict::Failure(_)), "{failure:?}");
    }
}
