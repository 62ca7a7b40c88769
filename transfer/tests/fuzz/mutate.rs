//! Changes of saved inputs, drawn by lot.

/// Numbers at which readers go wrong.
const AWKWARD: [u64; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];

/// No input gets longer than that, bytes.
const LONGEST: usize = 64 * 1024;

/// Random numbers that can be had again (xorshift64).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`, which is at least 1.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("no machine has longer words");
        usize::try_from(self.next() % end).expect("it is below a usize")
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// One of the corpus after a few changes.
pub(crate) fn mutated(chance: &mut Chance, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = chance.pick(corpus).clone();
    for _ in 0..=chance.below(6) {
        change(chance, &mut data, corpus);
        data.truncate(LONGEST);
    }
    data
}

fn change(chance: &mut Chance, data: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    if data.is_empty() {
        data.push(chance.next() as u8);
        return;
    }
    let at = chance.below(data.len());
    let length = 1 + chance.below((data.len() - at).min(600));
    match chance.below(8) {
        0 => data[at] ^= 1 << chance.below(8),
        1 => data[at] = chance.next() as u8,
        2 => {
            let number = chance.pick(&AWKWARD).to_le_bytes();
            let width = (1 << chance.below(4)).min(data.len() - at);
            data[at..at + width].copy_from_slice(&number[..width]);
        }
        // A tar's numbers are octal digits.
        3 => data[at] = b'0' + chance.below(8) as u8,
        4 => drop(data.drain(at..at + length)),
        5 => {
            let part = data[at..at + length].to_vec();
            let to = chance.below(data.len());
            data.splice(to..to, part);
        }
        6 => data.truncate(at),
        _ => {
            let other = chance.pick(corpus);
            if !other.is_empty() {
                let from = chance.below(other.len());
                let end = other.len().min(from + length);
                data.splice(at..at, other[from..end].iter().copied());
            }
        }
    }
}
