//! The switches of container runtimes without which they take or restore no checkpoint (facts.md,
//! Which runtimes restore).

use ms2m_transfer::node::NodeReport;

use crate::check::Check;
use crate::explain;
use crate::migration::plan;
use crate::migration::ports::NodeView;

/// The value with which later releases of CRI-O restore.
const RESTORES: &str = "checkpoint_restore";

pub(super) fn switches(node: &NodeView, report: &NodeReport) -> Check {
    match plan::runtime_name(&node.runtime) {
        "cri-o" => crio(node, report),
        "containerd" => containerd(node, report),
        other => Check::skipped(
            "its runtime is switched to checkpoints",
            format!("nobody has looked into {other}"),
        ),
    }
}

fn crio(node: &NodeView, report: &NodeReport) -> Check {
    const NAME: &str = "CRI-O is switched to checkpoints (enable_criu_support)";
    let said = report.crio.clone().unwrap_or_default();
    let remedy = |table: &str, line: &str| {
        format!(
            "on node {}: printf '[{table}]\\n{line}\\n' > /etc/crio/crio.conf.d/99-{}.conf && systemctl restart crio",
            node.name,
            table.replace('.', "-"),
        )
    };
    let support = || remedy("crio.runtime", "enable_criu_support = true");
    let level = || {
        remedy(
            "crio.checkpoint_restore",
            r#"container_level_enabled = "checkpoint_restore""#,
        )
    };
    if said.enable_criu_support == Some(false) {
        return Check::fail(
            NAME,
            &explain::RUNTIME_NO_CHECKPOINT,
            "its configuration says `enable_criu_support = false`",
        )
        .hint(support());
    }
    match said.container_level_enabled.as_deref() {
        Some(RESTORES) => {}
        Some(other) => {
            return Check::fail(
                NAME,
                &explain::RUNTIME_NO_RESTORE,
                format!("its configuration says `container_level_enabled = \"{other}\"`"),
            )
            .hint(level());
        }
        None if plan::needs_switch(&node.runtime) => {
            return Check::fail(
                NAME,
                &explain::RUNTIME_NO_RESTORE,
                format!("{} restores only with `container_level_enabled = \"{RESTORES}\"`, which its configuration does not say", node.runtime),
            )
            .hint(level());
        }
        None => {}
    }
    if said.enable_criu_support.is_none() {
        if let Some(unread) = unread(report, "/etc/crio") {
            return Check::skipped(NAME, unread);
        }
        return Check::warn(
            NAME,
            "its configuration does not say; only later versions have it on by default",
        )
        .hint(support());
    }
    Check::pass(NAME)
}

fn containerd(node: &NodeView, report: &NodeReport) -> Check {
    const SWITCH: &str = "enable_experimental_restore_via_create = true";
    const NAME: &str = "containerd is switched to checkpoints";
    let said = report.containerd.clone().unwrap_or_default();
    let remedy = |line: &str| {
        format!(
            "on node {}: put `{line}` into [plugins.'io.containerd.cri.v1.runtime'] of /etc/containerd/config.toml, then: systemctl restart containerd",
            node.name
        )
    };
    if said.enable_criu == Some(false) {
        return Check::fail(
            NAME,
            &explain::RUNTIME_NO_CHECKPOINT,
            "its configuration says `enable_criu = false`",
        )
        .hint(remedy("enable_criu = true"));
    }
    if !plan::needs_switch(&node.runtime) || said.restore_via_create == Some(true) {
        return Check::pass(NAME);
    }
    if let Some(unread) = unread(report, "/etc/containerd") {
        return Check::skipped(NAME, unread);
    }
    if report.containerd.is_none() {
        return Check::skipped(NAME, "its configuration is not in /etc/containerd");
    }
    Check::fail(
        NAME,
        &explain::RUNTIME_NO_RESTORE,
        format!(
            "{} restores only with `{SWITCH}`, which its configuration does not say",
            node.runtime
        ),
    )
    .hint(remedy(SWITCH))
}

fn unread(report: &NodeReport, directory: &str) -> Option<String> {
    let found = report.unread.iter().find(|it| it.starts_with(directory))?;
    Some(format!("not everybody may read it: {found}"))
}
