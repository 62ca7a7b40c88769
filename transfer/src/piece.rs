//! A piece of the layer: the body of one request, as the blocks that it is made of. Nothing is
//! copied: neither when it is filled nor when what is left of it is sent again.

use std::convert::Infallible;

use bytes::Bytes;

/// Size of a piece, bytes.
pub(crate) const PIECE: usize = 3 * 1024 * 1024;

/// Some consecutive bytes, [`PIECE`] at most.
#[derive(Debug, Clone, Default)]
pub(crate) struct Piece {
    blocks: Vec<Bytes>,
    len: usize,
}

impl Piece {
    /// Takes as much from the front of `block` as there is room for.
    pub(crate) fn fill(&mut self, block: &mut Bytes) {
        let n = block.len().min(PIECE - self.len);
        if n > 0 {
            self.blocks.push(block.split_to(n));
            self.len += n;
        }
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What follows the first `n` bytes.
    pub(crate) fn after(&self, n: usize) -> Self {
        let mut skip = n;
        let mut rest = Self::default();
        for block in &self.blocks {
            let from = skip.min(block.len());
            skip -= from;
            if from < block.len() {
                rest.blocks.push(block.slice(from..));
                rest.len += block.len() - from;
            }
        }
        rest
    }

    /// As the body of a request.
    pub(crate) fn into_body(self) -> reqwest::Body {
        let blocks = self.blocks.into_iter().map(Ok::<_, Infallible>);
        reqwest::Body::wrap_stream(futures_util::stream::iter(blocks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_what_was_not_sent() {
        let mut piece = Piece::default();
        for mut block in [&b"one "[..], b"two ", b"three"].map(Bytes::from_static) {
            piece.fill(&mut block);
            assert!(block.is_empty());
        }
        let whole = b"one two three";
        for n in 0..=whole.len() + 1 {
            let rest = piece.after(n);
            assert_eq!(rest.len(), whole.len().saturating_sub(n));
            assert_eq!(rest.blocks.concat(), whole[n.min(whole.len())..]);
        }
    }

    #[test]
    fn a_full_piece_takes_no_more() {
        let mut piece = Piece::default();
        let mut block = Bytes::from(vec![7; PIECE + 3]);
        piece.fill(&mut block);
        assert_eq!((piece.len(), block.len()), (PIECE, 3));
        piece.fill(&mut block);
        assert_eq!((piece.len(), block.len()), (PIECE, 3));
    }
}
