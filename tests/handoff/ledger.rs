//! Who published what while the gate stood where, what was taken from which queue, and whether
//! the two agree. Knows no broker.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// The queues that a message may be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The primary queue.
    Q,
    /// The target's replay queue.
    R,
    /// The source's replay queue.
    H,
}

impl Place {
    pub(crate) const ALL: [Self; 3] = [Self::Q, Self::R, Self::H];
}

/// Where the gate leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// To Q.
    Open,
    /// To R and H.
    Closed,
}

/// A message: its publisher and its number there, from 1.
pub(crate) type Message = (usize, u64);

#[derive(Debug, Default)]
struct Pages {
    /// How the gate has stood, one after the other; `None` while it was being moved.
    sides: Vec<Option<Side>>,
    /// Confirmed messages, with the gate's side if that did not change from before it was sent
    /// until it was confirmed.
    confirmed: BTreeMap<Message, Option<Side>>,
    /// What was taken and acknowledged, in order.
    taken: BTreeMap<Place, Vec<Message>>,
}

/// The books of one test case.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Pages>);

impl Ledger {
    /// Books of a gate that is not there yet, which is as good as an open one.
    pub(crate) fn new() -> Self {
        let ledger = Self::default();
        ledger.gate_is(Some(Side::Open));
        ledger
    }

    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.0
            .lock()
            .expect("nobody panics while he holds the books")
    }

    /// The gate is moved from now on (`None`), or stands.
    pub(crate) fn gate_is(&self, side: Option<Side>) {
        self.pages().sides.push(side);
    }

    /// To be asked before a message is sent, for [`Self::confirmed`].
    pub(crate) fn moment(&self) -> usize {
        self.pages().sides.len()
    }

    pub(crate) fn confirmed(&self, message: Message, sent_at: usize) {
        let mut pages = self.pages();
        let unmoved = pages.sides.len() == sent_at;
        let side = pages.sides.last().copied().flatten().filter(|_| unmoved);
        pages.confirmed.insert(message, side);
    }

    pub(crate) fn taken(&self, place: Place, message: Message) {
        self.pages().taken.entry(place).or_default().push(message);
    }

    pub(crate) fn count_confirmed(&self) -> usize {
        self.pages().confirmed.len()
    }

    /// What is wrong; nothing if all is exact.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        let pages = self.pages();
        let mut found: BTreeMap<Message, [u32; 3]> = pages
            .confirmed
            .keys()
            .map(|message| (*message, [0; 3]))
            .collect();
        for (place, messages) in &pages.taken {
            for message in messages {
                found.entry(*message).or_default()[*place as usize] += 1;
            }
            in_order(*place, messages)?;
        }
        for (message, counts) in found {
            let side = match counts {
                [1, 0, 0] => Side::Open,
                [0, 1, 1] => Side::Closed,
                _ => return Err(format!("{message:?} is in [Q, R, H] {counts:?} times")),
            };
            match pages.confirmed.get(&message) {
                None => return Err(format!("{message:?} was never confirmed")),
                Some(Some(expected)) if *expected != side => {
                    return Err(format!(
                        "{message:?} went the way of a gate that is {side:?} while it was {expected:?}"
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

fn in_order(place: Place, messages: &[Message]) -> Result<(), String> {
    let mut last: BTreeMap<usize, u64> = BTreeMap::new();
    for (publisher, number) in messages {
        let before = last.insert(*publisher, *number).unwrap_or(0);
        if before >= *number {
            return Err(format!(
                "{place:?} gave number {number} of publisher {publisher} after {before}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers 1 and 2 through the open gate, 3 and 4 through the closed one.
    fn books(taken: &[(Place, &[u64])]) -> Ledger {
        let ledger = Ledger::new();
        for number in [1, 2] {
            ledger.confirmed((0, number), ledger.moment());
        }
        let during = ledger.moment();
        ledger.gate_is(None);
        ledger.confirmed((0, 3), during);
        ledger.gate_is(Some(Side::Closed));
        ledger.confirmed((0, 4), ledger.moment());
        for (place, numbers) in taken {
            for number in *numbers {
                ledger.taken(*place, (0, *number));
            }
        }
        ledger
    }

    #[test]
    fn exact_books_are_accepted() {
        use Place::{H, Q, R};
        let early = books(&[(Q, &[1, 2]), (R, &[3, 4]), (H, &[3, 4])]);
        assert_eq!(early.verdict(), Ok(()));
        let late = books(&[(Q, &[1, 2, 3]), (R, &[4]), (H, &[4])]);
        assert_eq!(late.verdict(), Ok(()), "3 was sent while the gate moved");
    }

    #[test]
    fn one_wrong_message_is_found() {
        use Place::{H, Q, R};
        let wrong: [&[(Place, &[u64])]; 7] = [
            &[(Q, &[1, 2]), (R, &[3]), (H, &[3, 4])],
            &[(Q, &[1, 2, 2]), (R, &[3, 4]), (H, &[3, 4])],
            &[(Q, &[1, 2, 3]), (R, &[3, 4]), (H, &[3, 4])],
            &[(Q, &[2, 1]), (R, &[3, 4]), (H, &[3, 4])],
            &[(Q, &[1, 2, 4]), (R, &[3]), (H, &[3])],
            &[(Q, &[1]), (R, &[2, 3, 4]), (H, &[2, 3, 4])],
            &[(Q, &[1, 2]), (R, &[3, 4, 5]), (H, &[3, 4, 5])],
        ];
        for taken in wrong {
            assert!(books(taken).verdict().is_err(), "{taken:?}");
        }
    }
}
