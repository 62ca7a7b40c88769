//! The plots, each drawn once as SVG and once as PNG by the same code.
//!
//! The background is white and said to be so, and the colours are strong ones that are told apart by
//! people who see fewer of them (Okabe and Ito), so that a plot reads in a light and in a dark page.

mod ages;
mod ecdf;
mod lines;
mod phases;

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Once;

use color_eyre::eyre::{Result, WrapErr as _, eyre};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;

use super::summary::groups;
use crate::matrix::{Case, Configuration, STATE_BYTES, Way};
use crate::record::{Outcome, Row};
use crate::series::Series;

/// Size in pixels: sharp at the 800 or so that a README has.
const SIZE: (u32, u32) = (1000, 600);

/// A font for everything, in pixels of that size.
const FONT: (&str, i32) = ("sans-serif", 19);

/// The font of headings.
const HEADING: (&str, i32) = ("sans-serif", 24);

const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const SKY: RGBColor = RGBColor(86, 180, 233);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const RED: RGBColor = RGBColor(213, 94, 0);
const PINK: RGBColor = RGBColor(204, 121, 167);
const GREY: RGBColor = RGBColor(120, 120, 120);

/// The phases with their colours, in their order.
const PHASES: [(&str, RGBColor); 6] = [
    ("Pending", GREY),
    ("Checkpointing", ORANGE),
    ("Transferring", SKY),
    ("Restoring", GREEN),
    ("Replaying", PINK),
    ("Finalizing", BLUE),
];

/// The configurations with their colours.
const CONFIGURATIONS: [(Configuration, RGBColor); 4] = [
    (Configuration::Pod, BLUE),
    (Configuration::Deployment, GREEN),
    (Configuration::StatefulsetSequential, RED),
    (Configuration::StatefulsetShadow, PINK),
];

/// A plot that can be drawn on anything.
trait Plot {
    /// Draws it.
    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B>;
}

type Area<B> = DrawingArea<B, Shift>;
type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// A plot that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its file's name without extension.
    pub name: &'static str,
    /// What it shows.
    pub caption: String,
}

/// Draws everything that the results have something for. `series` is the key of the run whose messages
/// are shown over time; if absent, the busiest one at a rate that the worker keeps up with.
///
/// # Errors
/// When a file cannot be written.
pub fn draw_all(
    rows: &[Row],
    series: &Path,
    key: Option<&str>,
    directory: &Path,
) -> Result<Vec<Made>> {
    let groups = groups(rows);
    let mut made = Vec::new();
    let mut keep = |name, caption: &str| {
        let caption = caption.to_owned();
        made.push(Made { name, caption });
    };
    if let Some(plot) = phases::Phases::of(&groups) {
        save(&plot, directory, "phases")?;
        keep("phases", "Phases by messages a second");
    }
    if let Some(plot) = lines::Lines::totals(&groups) {
        save(&plot, directory, "total")?;
        keep(
            "total",
            "Total by messages a second, and the published ones",
        );
    }
    if let Some(plot) = lines::Lines::gaps(&groups) {
        save(&plot, directory, "gap")?;
        keep("gap", "Longest gap in processing by messages a second");
    }
    if let Some(plot) = ecdf::Ecdfs::of(rows) {
        save(&plot, directory, "ecdf")?;
        keep("ecdf", "Share of the runs within a total, and within a gap");
    }
    let chosen = key.map(str::to_owned).or_else(|| shown(rows));
    let chosen = chosen.map(|key| (series.join(format!("{key}.json")), key));
    if let Some((path, key)) = chosen.filter(|(path, _)| path.is_file()) {
        let plot = ages::OverTime {
            series: Series::read(&path)?,
            title: key.clone(),
        };
        save(&plot, directory, "ages")?;
        keep(
            "ages",
            &format!("Age of each message when it was applied, {key}"),
        );
    }
    Ok(made)
}

/// The run whose messages are shown.
fn shown(rows: &[Row]) -> Option<String> {
    let fit = rows.iter().filter(|row| {
        let first = row.repetition == 1 && row.outcome == Outcome::Completed;
        first && row.configuration == Configuration::Deployment && plain(&row.run().case)
    });
    let best = fit.min_by_key(|row| row.rate.abs_diff(60));
    best.map(|row| row.run().to_string())
}

/// Cases of the command line without anything special.
fn plain(case: &Case) -> bool {
    case.way == Way::Cli && case.backlog == 0 && case.state_bytes == STATE_BYTES
}

fn save(plot: &impl Plot, directory: &Path, name: &str) -> Result<()> {
    font()?;
    let failed = || format!("failed to draw {name}");
    let svg = directory.join(format!("{name}.svg"));
    let words = |error: &dyn std::fmt::Display| eyre!("{error}");
    {
        let area = SVGBackend::new(&svg, SIZE).into_drawing_area();
        let drawn = area.fill(&WHITE).and_then(|()| plot.draw(&area));
        let drawn = drawn.and_then(|()| area.present());
        drawn.map_err(|error| words(&error)).wrap_err_with(failed)?;
    }
    let mut pixels = vec![0; SIZE.0 as usize * SIZE.1 as usize * 3];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area();
        let drawn = area.fill(&WHITE).and_then(|()| plot.draw(&area));
        let drawn = drawn.and_then(|()| area.present());
        drawn.map_err(|error| words(&error)).wrap_err_with(failed)?;
    }
    let file = File::create(directory.join(format!("{name}.png"))).wrap_err_with(failed)?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), SIZE.0, SIZE.1);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().wrap_err_with(failed)?;
    writer.write_image_data(&pixels).wrap_err_with(failed)?;
    writer.finish().wrap_err_with(failed)
}

/// The letters, which come with the program.
fn font() -> Result<()> {
    static REGISTERED: Once = Once::new();
    let mut failed = false;
    REGISTERED.call_once(|| {
        let letters = dejavu::sans::regular();
        failed = register_font(FONT.0, FontStyle::Normal, letters).is_err();
    });
    if failed {
        return Err(eyre!("the font is none"));
    }
    Ok(())
}

/// The highest of some values, and a tenth more.
fn top(values: impl Iterator<Item = f64>) -> f64 {
    (values.fold(0.0_f64, f64::max) * 1.1).max(0.001)
}

#[cfg(test)]
mod tests;
