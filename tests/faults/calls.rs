//! TEMP
use crate::case::Case;
use crate::trials::Trials;

pub(crate) fn add(trials: &mut Trials) {
    trials.add("calls::record", || async {
        let mut case = Case::start("record").await;
        let end = case.run().await;
        for r in case.requests().await {
            eprintln!("{} {} {}", r.verb, r.resource, r.path);
        }
        case.ends_well(end).await;
    });
}
