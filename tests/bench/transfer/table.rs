//! The table for people.

use crate::contenders::{Kind, is_ours};
use crate::measure::Figures;

const MIB: f64 = 1024.0 * 1024.0;

/// All measurements of one contender, or of a floor.
pub(crate) struct Row {
    name: &'static str,
    /// The kind of layer that it makes, or that it is the floor of; nothing: the floor of all.
    kind: Option<Kind>,
    floor: bool,
    pub(crate) figures: Vec<Figures>,
}

impl Row {
    pub(crate) fn floor(name: &'static str, bounds: Option<Kind>) -> Self {
        Self {
            name,
            kind: bounds,
            floor: true,
            figures: Vec::new(),
        }
    }

    pub(crate) fn contender(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind: Some(kind),
            floor: false,
            figures: Vec::new(),
        }
    }

    fn median(&self, of: impl Fn(&Figures) -> f64) -> f64 {
        let mut values: Vec<f64> = self.figures.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    fn wall(&self) -> f64 {
        self.median(|figures| figures.wall)
    }
}

/// Prints the table, and how many times faster ours are than the others.
pub(crate) fn print(size: u64, rows: &[Row]) {
    println!(
        "| {size} MiB | wall s | MB/s | × floor | CPU s | registry's CPU s | peak MiB | sent MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for row in rows {
        let wall = row.wall();
        let times = if row.floor {
            "–".to_owned()
        } else {
            format!("{:.2}", wall / floor_of(row, rows))
        };
        let mib = |bytes: f64| match bytes {
            0.0 => "–".to_owned(),
            bytes => format!("{:.1}", bytes / MIB),
        };
        println!(
            "| {} | {wall:.2} | {:.0} | {times} | {:.2} | {:.2} | {} | {} |",
            row.name,
            size as f64 * MIB / 1e6 / wall,
            row.median(|figures| figures.cpu),
            row.median(|figures| figures.registry),
            mib(row.median(|figures| figures.peak as f64)),
            mib(row.median(|figures| figures.sent as f64)),
        );
    }
    println!();
    compare(rows);
}

/// The slowest of a contender's floors.
fn floor_of(row: &Row, rows: &[Row]) -> f64 {
    rows.iter()
        .filter(|floor| floor.floor && (floor.kind.is_none() || floor.kind == row.kind))
        .map(Row::wall)
        .fold(0.0, f64::max)
}

fn compare(rows: &[Row]) {
    let (ours, others): (Vec<&Row>, Vec<&Row>) = rows
        .iter()
        .filter(|row| !row.floor)
        .partition(|row| is_ours(row.name));
    let fastest = |rows: &mut dyn Iterator<Item = &Row>| rows.map(Row::wall).min_by(f64::total_cmp);
    let best = fastest(&mut others.iter().copied());
    let gzip = fastest(
        &mut others
            .iter()
            .copied()
            .filter(|row| row.kind == Some(Kind::Gzip)),
    );
    for row in ours {
        for (whom, wall) in [("best of the others", best), ("best with gzip", gzip)] {
            if let Some(wall) = wall {
                println!(
                    "{}: {:.1} × as fast as the {whom}",
                    row.name,
                    wall / row.wall()
                );
            }
        }
    }
    println!();
}
