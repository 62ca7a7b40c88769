//! The age of each message when it was applied, over the time of one run, with the phases behind it.

use plotters::prelude::*;

use super::{Area, BLUE, Drawn, FONT, HEADING, PHASES, Plot, RED, top};
use crate::series::Series;

/// The plot.
pub(super) struct OverTime {
    pub(super) series: Series,
    pub(super) title: String,
}

/// Who applied a message, in the order in which the pods came.
const PODS: [(&str, RGBColor); 3] = [
    ("first by the source", BLUE),
    ("by the target", RED),
    ("by the set's own pod", BLACK),
];

impl Plot for OverTime {
    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B> {
        let times = || self.series.pods.iter().flatten();
        let left = times().map(|(sent, _)| *sent).fold(0.0, f64::min);
        let right = times().map(|(_, applied)| *applied).fold(0.1, f64::max);
        // Room for the legend beside the dots.
        let right = right + (right - left) * 0.35;
        let top = top(times().map(|(sent, applied)| applied - sent)) * 1.15;
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, HEADING)
            .margin(14)
            .x_label_area_size(52)
            .y_label_area_size(70)
            .build_cartesian_2d(left..right, 0.0..top)?;
        for (name, begin, end) in &self.series.phases {
            let colour = PHASES.iter().find(|(phase, _)| phase == name);
            let Some((phase, colour)) = colour.copied() else {
                continue;
            };
            let shade = Rectangle::new([(*begin, 0.0), (*end, top)], colour.mix(0.3).filled());
            chart
                .draw_series([shade])?
                .label(phase)
                .legend(move |(x, y)| {
                    Rectangle::new([(x, y - 7), (x + 24, y + 7)], colour.mix(0.3).filled())
                });
        }
        chart
            .configure_mesh()
            .x_desc("seconds since the migration began, when it was applied")
            .y_desc("age in seconds")
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.15))
            .label_style(FONT)
            .draw()?;
        for (pod, (name, colour)) in self.series.pods.iter().zip(PODS) {
            let dots = pod.iter().map(|(sent, applied)| {
                Circle::new((*applied, applied - sent), 3, colour.mix(0.8).filled())
            });
            chart
                .draw_series(dots)?
                .label(name)
                .legend(move |(x, y)| Circle::new((x + 12, y), 5, colour.filled()));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK)
            .label_font(FONT)
            .draw()
    }
}
