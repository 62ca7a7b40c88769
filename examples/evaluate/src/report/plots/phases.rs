//! How long each phase takes, stacked, by rate: a panel for each configuration.

use plotters::prelude::*;

use super::{Area, CONFIGURATIONS, Drawn, FONT, HEADING, PHASES, Plot, plain, top};
use crate::record::Row;
use crate::report::summary::Group;

/// Median seconds of each phase.
type Bar = [f64; 6];

/// The plot.
pub(super) struct Phases {
    /// For each configuration its name and the bars by rate.
    panels: Vec<(&'static str, Vec<(u32, Bar)>)>,
}

impl Phases {
    /// Of the cases of the command line; none without any that completed.
    pub(super) fn of(groups: &[Group<'_>]) -> Option<Self> {
        let mut panels = Vec::new();
        for (configuration, _) in CONFIGURATIONS {
            let of = |it: &&Group<'_>| plain(&it.case) && it.case.configuration == configuration;
            let bars = groups.iter().filter(of).filter_map(bar);
            let bars: Vec<(u32, Bar)> = bars.collect();
            if !bars.is_empty() {
                panels.push((configuration.name(), bars));
            }
        }
        (!panels.is_empty()).then_some(Self { panels })
    }
}

fn bar(group: &Group<'_>) -> Option<(u32, Bar)> {
    let figures: [fn(&Row) -> Option<f64>; 6] = [
        |row| row.pending,
        |row| row.checkpointing,
        |row| row.transferring,
        |row| row.restoring,
        |row| row.replaying,
        |row| row.finalizing,
    ];
    group.completed().next()?;
    let median = |figure| group.spread(figure).map_or(0.0, |it| it.median);
    Some((group.case.rate, figures.map(median)))
}

impl Plot for Phases {
    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B> {
        let area = area.titled("Phases by messages a second: seconds, medians", HEADING)?;
        let (panels, legend) = area.split_vertically(510);
        let rows = if self.panels.len() > 2 { 2 } else { 1 };
        let columns = self.panels.len().div_ceil(rows);
        let bars = self.panels.iter().flat_map(|(_, bars)| bars);
        let top = top(bars.map(|(_, bar)| bar.iter().sum()));
        let cells = panels.split_evenly((rows, columns));
        for (cell, (name, bars)) in cells.iter().zip(&self.panels) {
            panel(cell, name, bars, top)?;
        }
        for (at, (name, colour)) in (0_i32..).zip(PHASES) {
            let left = 40 + at * 158;
            let box_ = [(left, 6), (left + 18, 24)];
            legend.draw(&Rectangle::new(box_, colour.filled()))?;
            legend.draw(&Text::new(name, (left + 24, 6), FONT))?;
        }
        Ok(())
    }
}

fn panel<B: DrawingBackend>(area: &Area<B>, name: &str, bars: &[(u32, Bar)], top: f64) -> Drawn<B> {
    let last = bars.len() as f64 - 0.5;
    let mut chart = ChartBuilder::on(area)
        .caption(name, FONT)
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(46)
        .build_cartesian_2d(-0.5..last, 0.0..top)?;
    let rate = |place: &f64| {
        let mut numbered = (0_u32..).zip(bars);
        let here = numbered.find(|(at, _)| (f64::from(*at) - place).abs() < 0.01);
        here.map_or(String::new(), |(_, (rate, _))| rate.to_string())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(bars.len())
        .x_label_formatter(&rate)
        .light_line_style(WHITE)
        .label_style(FONT)
        .draw()?;
    for (phase, (_, colour)) in PHASES.iter().enumerate() {
        chart.draw_series((0_u32..).zip(bars).map(|(at, (_, bar))| {
            let (at, below) = (f64::from(at), bar[..phase].iter().sum::<f64>());
            let corners = [(at - 0.38, below), (at + 0.38, below + bar[phase])];
            Rectangle::new(corners, colour.filled())
        }))?;
    }
    Ok(())
}
