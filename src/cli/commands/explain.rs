//! `ms2m explain CODE`.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Args, Command};

use crate::cli::failure::Outcome;
use crate::cli::output::{Output, show};
use crate::cli::ui::Ui;
use crate::cli::view::explain as view;
use crate::explain::{self, Code};
use crate::migration::plan::closest;

/// Explain an error by its code
///
/// Every error ends with its code. Tells what it means, what its causes usually are, and what to do.
/// Without a code, lists all of them.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The code, as image-not-known
    #[arg(value_parser = CodeParser, hide_possible_values = true)]
    pub code: Option<Code>,

    /// Format of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Prints the text, or the list.
///
/// # Errors
/// Writing to stdout fails.
pub fn run(ui: &Ui, args: &ExplainArgs) -> Outcome {
    let (paint, columns) = (ui.out_paint(), ui.columns());
    let Some(code) = args.code else {
        let codes: Vec<Code> = explain::codes().collect();
        let names = || {
            codes
                .iter()
                .map(|it| it.code)
                .collect::<Vec<_>>()
                .join("\n")
        };
        return show(ui, args.output, &codes, names, || view::list(paint));
    };
    let text = || view::text(code, paint, columns);
    show(ui, args.output, code, || code.code.to_owned(), text)
}

/// Reads a code. The shells' completion has them all from here, an error only the nearest.
#[derive(Debug, Clone, Copy)]
pub struct CodeParser;

impl TypedValueParser for CodeParser {
    type Value = Code;

    fn parse_ref(
        &self,
        command: &Command,
        _: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Code, clap::Error> {
        let text = value.to_string_lossy();
        explain::find(&text).ok_or_else(|| {
            let near = closest(&text, explain::codes().map(|it| it.code));
            let hint = near.map_or_else(
                || "see all of them: ms2m explain".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            let message = format!("there is no error code {text}\n\n  {hint}\n");
            clap::Error::raw(clap::error::ErrorKind::InvalidValue, message).with_cmd(command)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values = explain::codes().map(|it| PossibleValue::new(it.code).help(it.title));
        Some(Box::new(values))
    }
}
