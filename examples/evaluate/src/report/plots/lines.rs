//! A figure by rate: a line of medians for each configuration, with the quartiles.

use plotters::prelude::*;

use super::{Area, CONFIGURATIONS, Drawn, FONT, HEADING, Plot, plain, top};
use crate::matrix::RATES;
use crate::record::Row;
use crate::report::published::PUBLISHED;
use crate::report::summary::{Group, Spread, total};

/// The plot.
pub(super) struct Lines {
    title: &'static str,
    lines: Vec<Line>,
    /// Whether the scale is one of ratios: then shapes can be compared over different seconds.
    ratios: bool,
}

struct Line {
    name: &'static str,
    colour: RGBColor,
    points: Vec<(f64, Spread)>,
    published: Option<Vec<(f64, f64)>>,
}

impl Lines {
    /// Totals, and the published ones.
    pub(super) fn totals(groups: &[Group<'_>]) -> Option<Self> {
        let mut lines = lines(groups, total);
        for line in &mut lines {
            let like = PUBLISHED.iter().find(|it| it.like.name() == line.name);
            line.published = like.map(|it| {
                let points = RATES.iter().zip(it.totals);
                points
                    .map(|(rate, seconds)| (f64::from(*rate), seconds))
                    .collect()
            });
        }
        let title = "Total by messages a second; dotted: published (120 s of replay at most)";
        (!lines.is_empty()).then_some(Self {
            title,
            lines,
            ratios: true,
        })
    }

    /// Gaps.
    pub(super) fn gaps(groups: &[Group<'_>]) -> Option<Self> {
        let lines = lines(groups, |row| row.gap);
        (!lines.is_empty()).then_some(Self {
            title: "Longest gap: messages waited and none was applied",
            lines,
            ratios: false,
        })
    }
}

fn lines(groups: &[Group<'_>], figure: fn(&Row) -> Option<f64>) -> Vec<Line> {
    let line = |(configuration, colour): (crate::matrix::Configuration, RGBColor)| {
        let of = |it: &&Group<'_>| plain(&it.case) && it.case.configuration == configuration;
        let points = groups.iter().filter(of).filter_map(|group| {
            let rate = f64::from(group.case.rate);
            Some((rate, group.spread(figure)?))
        });
        Line {
            name: configuration.name(),
            colour,
            points: points.collect(),
            published: None,
        }
    };
    let lines = CONFIGURATIONS.into_iter().map(line);
    lines.filter(|line| !line.points.is_empty()).collect()
}

impl Lines {
    fn values(&self) -> impl Iterator<Item = f64> {
        self.lines.iter().flat_map(|line| {
            let ours = line.points.iter().flat_map(|(_, it)| [it.low, it.high]);
            let theirs = line.published.iter().flatten().map(|(_, seconds)| *seconds);
            ours.chain(theirs)
        })
    }

    fn right(&self) -> f64 {
        let rates = self.lines.iter().flat_map(|line| &line.points);
        rates.map(|(rate, _)| *rate).fold(100.0, f64::max) + 10.0
    }
}

impl Plot for Lines {
    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B> {
        let mut builder = ChartBuilder::on(area);
        builder
            .caption(self.title, HEADING)
            .margin(14)
            .x_label_area_size(52)
            .y_label_area_size(70);
        // With room above for the legend.
        let (right, top) = (self.right(), top(self.values()) * 1.3);
        // A macro and no function: the two kinds of scale are two types.
        macro_rules! on {
            ($chart:expr) => {{
                let mut chart = $chart;
                chart
                    .configure_mesh()
                    .x_desc("messages a second")
                    .y_desc("seconds")
                    .label_style(FONT)
                    .x_label_formatter(&|rate| format!("{rate:.0}"))
                    .y_label_formatter(&seconds)
                    .light_line_style(WHITE)
                    .draw()?;
                for line in &self.lines {
                    let colour = line.colour;
                    let medians = line.points.iter().map(|(rate, it)| (*rate, it.median));
                    let medians: Vec<(f64, f64)> = medians.collect();
                    chart
                        .draw_series(LineSeries::new(medians.clone(), colour.stroke_width(3)))?
                        .label(line.name)
                        .legend(move |(x, y)| {
                            PathElement::new([(x, y), (x + 24, y)], colour.stroke_width(4))
                        });
                    let dot = |place| Circle::new(place, 5, colour.filled());
                    chart.draw_series(medians.into_iter().map(dot))?;
                    chart.draw_series(line.points.iter().map(|(rate, it)| {
                        let style = colour.stroke_width(2);
                        ErrorBar::new_vertical(*rate, it.low, it.median, it.high, style, 10)
                    }))?;
                    if let Some(points) = &line.published {
                        let style = colour.stroke_width(2);
                        let points = points.clone();
                        chart.draw_series(DashedLineSeries::new(points, 3, 6, style))?;
                    }
                }
                chart
                    .configure_series_labels()
                    .position(SeriesLabelPosition::UpperLeft)
                    .background_style(WHITE.mix(0.85))
                    .border_style(BLACK)
                    .label_font(FONT)
                    .draw()
            }};
        }
        if self.ratios {
            let lowest = self.values().fold(f64::INFINITY, f64::min).max(0.001) * 0.7;
            on!(builder.build_cartesian_2d(0.0..right, (lowest..top * 5.0).log_scale())?)
        } else {
            on!(builder.build_cartesian_2d(0.0..right, 0.0..top)?)
        }
    }
}

fn seconds(value: &f64) -> String {
    if *value >= 10.0 || *value == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}
