//! The share of runs within a total, and within a gap: what medians hide.

use plotters::prelude::*;

use super::{Area, CONFIGURATIONS, Drawn, FONT, HEADING, Plot, plain, top};
use crate::record::{Outcome, Row};
use crate::report::summary::total;

/// The plot: two panels.
pub(super) struct Ecdfs {
    panels: [Panel; 2],
}

struct Panel {
    name: &'static str,
    lines: Vec<(&'static str, RGBColor, Vec<f64>)>,
}

impl Ecdfs {
    /// Of the runs of the command line that completed; none without any.
    pub(super) fn of(rows: &[Row]) -> Option<Self> {
        let panels = [
            Panel::of("total in seconds", rows, total),
            Panel::of("gap in seconds", rows, |row| row.gap),
        ];
        let any = panels.iter().any(|panel| !panel.lines.is_empty());
        any.then_some(Self { panels })
    }
}

impl Panel {
    fn of(name: &'static str, rows: &[Row], figure: fn(&Row) -> Option<f64>) -> Self {
        let mut lines = Vec::new();
        for (configuration, colour) in CONFIGURATIONS {
            let of = |row: &&Row| {
                let completed = row.outcome == Outcome::Completed;
                completed && row.configuration == configuration && plain(&row.run().case)
            };
            let mut values: Vec<f64> = rows.iter().filter(of).filter_map(figure).collect();
            values.sort_by(f64::total_cmp);
            if !values.is_empty() {
                lines.push((configuration.name(), colour, values));
            }
        }
        Self { name, lines }
    }
}

/// The steps of sorted values: up at each of them.
fn steps(values: &[f64], right: f64) -> Vec<(f64, f64)> {
    let mut points = vec![(0.0, 0.0)];
    let mut share = 0.0;
    for (at, value) in values.iter().enumerate() {
        points.push((*value, share));
        share = (at + 1) as f64 / values.len() as f64;
        points.push((*value, share));
    }
    points.push((right, share));
    points
}

impl Plot for Ecdfs {
    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B> {
        let area = area.titled("Share of the runs, all rates together", HEADING)?;
        for (cell, panel) in area.split_evenly((1, 2)).iter().zip(&self.panels) {
            let values = panel.lines.iter().flat_map(|(_, _, values)| values);
            let right = top(values.copied());
            let mut chart = ChartBuilder::on(cell)
                .margin(14)
                .x_label_area_size(52)
                .y_label_area_size(56)
                .build_cartesian_2d(0.0..right, 0.0..1.02)?;
            chart
                .configure_mesh()
                .x_desc(panel.name)
                .x_labels(6)
                .light_line_style(WHITE)
                .label_style(FONT)
                .draw()?;
            for (name, colour, values) in &panel.lines {
                let colour = *colour;
                let line = LineSeries::new(steps(values, right), colour.stroke_width(3));
                chart.draw_series(line)?.label(*name).legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 24, y)], colour.stroke_width(4))
                });
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::LowerRight)
                .background_style(WHITE.mix(0.85))
                .border_style(BLACK)
                .label_font(FONT)
                .draw()?;
        }
        Ok(())
    }
}
