//! `ms2m migrate --via-controller`: the controller does it, and this process only looks.

use super::MigrateArgs;
use crate::cli::args::GlobalArgs;
use crate::cli::commands::created::{self, Order};
use crate::cli::failure::Outcome;
use crate::cli::follow::{Aim, Follow};
use crate::cli::settings::Layers;
use crate::cli::settings::migration::Typed;
use crate::cli::ui::Ui;
use crate::cli::wire::Reached;

/// Makes the resource, and follows it to its end.
pub(super) async fn run(
    ui: &Ui,
    global: &GlobalArgs,
    args: &MigrateArgs,
    mut layers: Layers<'_>,
    typed: Typed,
) -> Outcome {
    let reached = Reached::connect(global).await?;
    let order = Order {
        pod: args.pod.as_deref().unwrap_or_default(),
        to: args.to.as_deref(),
        name: args.name.as_deref(),
        settings: &args.settings,
        controller: &args.controller,
    };
    let resource = created::resource(ui, Some(&reached), false, &order, &mut layers, typed).await?;
    let entry = created::make(&reached, &resource).await?;
    let follow = Follow {
        ui,
        global,
        reached: &reached,
        output: args.output,
        aim: Aim::End,
        timeout: args.timeout,
    };
    follow.begin(entry).await
}
