//! The real kubectl in a scene's namespace.

use std::process::Stdio;

use tokio::process::Command;

use super::{DEADLINE, Scene};

impl Scene {
    /// Runs kubectl and returns what it printed; fails the test when kubectl fails.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        let program = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
        let cache = format!("{}/kubectl", self.world.text("dir"));
        let child = Command::new(program)
            .args(arguments)
            .args(["--namespace", &self.namespace, "--cache-dir", &cache])
            .env("KUBECONFIG", self.world.text("kubeconfig"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("kubectl is installed (Debian has it in kubernetes-client)");
        let output = tokio::time::timeout(DEADLINE, child.wait_with_output())
            .await
            .unwrap_or_else(|_| panic!("kubectl {arguments:?} does not end"))
            .expect("kubectl ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, complaint) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success(),
            "kubectl {arguments:?}\n{out}\n{complaint}"
        );
        out
    }
}
