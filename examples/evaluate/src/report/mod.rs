//! From the results file to tables and plots. Nothing is measured here, and no row is left out: what
//! failed is counted beside what did not.

mod plots;
mod published;
mod summary;
mod table;

use std::path::{Path, PathBuf};

use color_eyre::eyre::{Result, WrapErr as _, bail};

pub use plots::draw_all;
pub use published::PUBLISHED;
pub use summary::{Group, Spread, groups};
pub use table::tables;

use crate::record;

/// Before and after the part of a document that the report writes.
const MARKS: [&str; 2] = ["<!-- results -->", "<!-- end of results -->"];

/// Makes `summary.md` and the plots in `out` from the results there. With `document`, the part of it
/// between the two marks is written anew too, and the plots go into `plots/` beside it.
///
/// # Errors
/// When there are no results, the document has no marks, or something cannot be written.
pub fn make(out: &Path, document: Option<&Path>, series: Option<&str>) -> Result<Vec<PathBuf>> {
    let rows = record::read(&out.join("runs.csv"))?;
    if rows.is_empty() {
        bail!("there is no run in {}", out.join("runs.csv").display());
    }
    let directory = match document.and_then(Path::parent) {
        Some(beside) => beside.join("plots"),
        None => out.join("plots"),
    };
    std::fs::create_dir_all(&directory)
        .wrap_err_with(|| format!("failed to make {}", directory.display()))?;
    let plots = draw_all(&rows, &out.join("series"), series, &directory)?;
    let mut text = tables(&rows);
    for plot in &plots {
        text.push_str(&format!("\n![{}](plots/{}.svg)\n", plot.caption, plot.name));
    }
    let summary = out.join("summary.md");
    write(&summary, &format!("# Results\n\n{text}"))?;
    let mut written = vec![summary];
    if let Some(document) = document {
        let before = std::fs::read_to_string(document)
            .wrap_err_with(|| format!("failed to read {}", document.display()))?;
        let Some(after) = replaced(&before, &text) else {
            bail!(
                "{} has no {} and {}",
                document.display(),
                MARKS[0],
                MARKS[1]
            );
        };
        write(document, &after)?;
        written.push(document.to_owned());
    }
    written.extend(
        plots
            .iter()
            .map(|it| directory.join(format!("{}.svg", it.name))),
    );
    Ok(written)
}

/// The document with what lies between its marks replaced.
fn replaced(document: &str, text: &str) -> Option<String> {
    let (head, rest) = document.split_once(MARKS[0])?;
    let (_, tail) = rest.split_once(MARKS[1])?;
    let [begin, end] = MARKS;
    Some(format!("{head}{begin}\n\n{text}\n{end}{tail}"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).wrap_err_with(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    //! Tests of writing into a document.

    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let document = "a\n<!-- results -->\nold\n<!-- end of results -->\nb\n";
        let once = replaced(document, "new").expect("it has marks");
        assert_eq!(
            once,
            "a\n<!-- results -->\n\nnew\n<!-- end of results -->\nb\n"
        );
        assert_eq!(replaced(&once, "new").as_deref(), Some(once.as_str()));
        assert_eq!(replaced("a", "new"), None);
    }
}
