//! Every plot is drawn, in both formats. Whether it is a good one, a person has to look.

use super::*;
use crate::matrix::{default_matrix, plan};

fn made_up() -> Vec<Row> {
    let rows = plan(&default_matrix(), 3, 1).into_iter().map(|run| {
        let mut row = Row::of(&run);
        let size = f64::from(run.case.rate) / 40.0 + f64::from(run.repetition) / 9.0;
        row.outcome = Outcome::Completed;
        row.total = Some(1.0 + size);
        row.gap = Some(0.2 + size / 10.0);
        for (at, phase) in [
            &mut row.pending,
            &mut row.checkpointing,
            &mut row.transferring,
            &mut row.restoring,
            &mut row.replaying,
            &mut row.finalizing,
        ]
        .into_iter()
        .enumerate()
        {
            *phase = Some((1.0 + size) / 6.0 * (at as f64 / 3.0));
        }
        row
    });
    rows.collect()
}

#[test]
fn every_plot_is_drawn_as_svg_and_png() {
    let directory = tempfile::tempdir().expect("a directory");
    let keep = std::env::var_os("MS2M_EVALUATE_PLOTS").map(std::path::PathBuf::from);
    let into = keep.as_deref().unwrap_or(directory.path());
    let messages = (0..400).map(|at| f64::from(at) / 40.0 - 3.0);
    let series = Series {
        phases: vec![
            ("Pending".to_owned(), 0.0, 0.2),
            ("Checkpointing".to_owned(), 0.2, 0.9),
            ("Transferring".to_owned(), 0.9, 1.5),
            ("Restoring".to_owned(), 1.5, 2.8),
            ("Replaying".to_owned(), 2.8, 4.0),
            ("Finalizing".to_owned(), 4.0, 5.0),
        ],
        pods: vec![
            messages
                .clone()
                .take(300)
                .map(|at| (at, at + 0.01))
                .collect(),
            messages.skip(200).map(|at| (at, at + 0.3)).collect(),
        ],
    };
    let rows = made_up();
    let key = shown(&rows).expect("there is one of a Deployment");
    assert!(key.contains("rate60"), "{key}");
    series
        .write(&directory.path().join(format!("{key}.json")))
        .expect("it is written");
    let made = draw_all(&rows, directory.path(), None, into).expect("they are drawn");
    assert_eq!(made.len(), 5);
    for plot in made {
        for extension in ["svg", "png"] {
            let path = into.join(format!("{}.{extension}", plot.name));
            let size = std::fs::metadata(&path).expect("it is there").len();
            assert!(size > 5_000, "{} has {size} bytes", path.display());
        }
    }
    assert!(
        draw_all(&[], directory.path(), None, into)
            .expect("none")
            .is_empty()
    );
}
