//! `--probe`: a pod on each node that is to be looked at, all of them removed whatever happens.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio_util::sync::CancellationToken;

use crate::api::ROLE_LABEL;
use crate::cli::interrupt::{self, Listening, UnderWay};
use crate::cli::ui::Ui;
use crate::cli::wire::Reached;
use crate::cluster::{PROBE_ROLE, ProbeOrder, Probed};
use crate::migration::ports::NodeView;

/// How many nodes are looked at at once.
const AT_ONCE: usize = 8;

/// What the first signal stops.
pub(super) struct Probing {
    stop: CancellationToken,
    /// Signals are listened to for as long as this is there.
    _listening: Listening,
}

impl Probing {
    /// From now on a signal has the pods removed.
    pub(super) fn begin(ui: &Ui, namespace: &str) -> std::io::Result<Self> {
        let stop = CancellationToken::new();
        let removed = Arc::new(Removed {
            ui: ui.clone(),
            namespace: namespace.to_owned(),
        });
        let listening = interrupt::listen_for(stop.clone(), removed, ui.clone())?;
        Ok(Self {
            stop,
            _listening: listening,
        })
    }

    /// Whether a signal has come.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Looks at these nodes; an answer for each.
    pub(super) async fn nodes(
        &self,
        reached: &Reached,
        nodes: &[&NodeView],
        image: &str,
        credentials_secret: Option<&str>,
    ) -> Vec<Probed> {
        let orders = nodes.iter().map(|node| ProbeOrder {
            node: node.name.clone(),
            image: image.to_owned(),
            credentials_secret: credentials_secret.map(str::to_owned),
        });
        let probes = orders.map(|order| async move {
            let cluster = &reached.cluster;
            cluster.probe(&order, &self.stop).await
        });
        stream::iter(probes).buffered(AT_ONCE).collect().await
    }
}

struct Removed {
    ui: Ui,
    namespace: String,
}

impl UnderWay for Removed {
    fn interrupted(&self, _: bool) {
        self.ui
            .words("interrupted: removing the pods that look at the nodes (again to stop at once)");
    }

    fn stopped(&self) -> String {
        format!(
            "stopped at once: pods that look at the nodes may be left; they end by themselves; to remove them:\n  \
             kubectl delete pods -n {} -l {ROLE_LABEL}={PROBE_ROLE}",
            self.namespace
        )
    }
}
