//! The API server, asked without a process for each question, for tests that ask often.

use kube::Client;
use kube::client::Body;
use serde_json::Value;

/// A client with the administrator's rights.
pub(crate) struct Api(Client);

impl Api {
    /// Of a kubeconfig.
    pub(crate) async fn new(kubeconfig: &std::path::Path) -> Self {
        // Whoever comes second finds it done.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .expect("it can be used");
        Self(Client::try_from(config).expect("a client"))
    }

    /// The one of the world, which every test shares.
    ///
    /// Each call makes a client: a runtime ends with the test that it belongs to.
    pub(crate) async fn of(world: &super::World) -> Self {
        Self::new(&world.places.kubeconfig).await
    }

    /// An object; none where there is none.
    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        match self.send("GET", path, &Value::Null).await {
            (200, found) => Some(found),
            (404, _) => None,
            (code, answer) => panic!("GET {path}: {code} {answer}"),
        }
    }

    /// Makes an object, or gives an order.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        match self.send("POST", path, body).await {
            (200..=299, made) => made,
            (code, answer) => panic!("POST {path}: {code} {answer}"),
        }
    }

    /// Deletes an object; `false` where there is none.
    pub(crate) async fn delete(&self, path: &str) -> bool {
        match self.send("DELETE", path, &Value::Null).await {
            (200..=299, _) => true,
            (404, _) => false,
            (code, answer) => panic!("DELETE {path}: {code} {answer}"),
        }
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .expect("a request");
        let answer = self.0.send(request).await.expect("the API server answers");
        let code = answer.status().as_u16();
        let bytes = answer.into_body().collect_bytes().await.expect("a body");
        (code, serde_json::from_slice(&bytes).unwrap_or_default())
    }
}
