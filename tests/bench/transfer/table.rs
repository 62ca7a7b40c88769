//! The table for people.

use crate::contenders::{Kind, is_ours};
use crate::measure::{Figures, processors};

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
        "| {size} MiB | wall s | MB/s | × floor | × work | CPU s | registry's CPU s | peak MiB | sent MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        let wall = row.wall();
        let (times, work) = if row.floor {
            ("–".to_owned(), "–".to_owned())
        } else {
            let times = |of: f64| format!("{:.2}", wall / of);
            (times(floor_of(row, rows)), times(work_of(row, rows)))
        };
        let mib = |bytes: f64| match bytes {
            0.0 => "–".to_owned(),
            bytes => format!("{:.1}", bytes / MIB),
        };
        println!(
            "| {} | {wall:.2} | {:.0} | {times} | {work} | {:.2} | {:.2} | {} | {} |",
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

/// The floors that bound a contender.
fn floors_of<'a>(row: &'a Row, rows: &'a [Row]) -> impl Iterator<Item = &'a Row> {
    let bounds = |floor: &&Row| floor.kind.is_none() || floor.kind == row.kind;
    rows.iter().filter(|floor| floor.floor).filter(bounds)
}

/// The slowest of a contender's floors, as if each had the machine for itself.
fn floor_of(row: &Row, rows: &[Row]) -> f64 {
    floors_of(row, rows).map(Row::wall).fold(0.0, f64::max)
}

/// All of a contender's floors together, the registry's work among them, spread over the processors
/// without a gap: they share this machine. Reading is within each of the others.
fn work_of(row: &Row, rows: &[Row]) -> f64 {
    let seconds: f64 = floors_of(row, rows)
        .filter(|floor| floor.name != crate::floors::READING)
        .map(|floor| floor.median(|figures| figures.cpu + figures.registry))
        .sum();
    seconds / processors() as f64
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
