//! Buffers that are used again. One of half a MiB from the allocator is often memory that the kernel
//! has to map and to zero page by page: measured with and without, those were nine of ten page faults
//! of a transfer, and a twentieth of its processor time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Buffers of one size. There are as many of them as were in use at once.
#[derive(Debug, Clone)]
pub struct Pool {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    size: usize,
}

impl Pool {
    /// A pool of buffers of `size` bytes, none of which there is yet.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self {
            free: Arc::default(),
            size,
        }
    }

    /// A buffer with room for this pool's number of bytes. What is in it is of no account.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        let used = lock(&self.free).pop();
        used.unwrap_or_else(|| Vec::with_capacity(self.size))
    }

    /// The buffer's bytes for many readers; with the last of them the buffer comes back.
    #[must_use]
    pub fn share(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Shared {
            buffer,
            free: Arc::clone(&self.free),
        })
    }
}

struct Shared {
    buffer: Vec<u8>,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        lock(&self.free).push(buffer);
    }
}

/// Nothing that holds it can panic half-way through a change.
fn lock(free: &Mutex<Vec<Vec<u8>>>) -> MutexGuard<'_, Vec<Vec<u8>>> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_its_last_reader() {
        let pool = Pool::new(8);
        let mut buffer = pool.take();
        buffer.extend_from_slice(b"12345678");
        let bytes = pool.share(buffer);
        let part = bytes.slice(2..4);
        drop(bytes);
        assert_eq!(pool.take(), b"", "somebody reads the first one");
        assert_eq!(part, b"34"[..]);
        drop(part);
        assert_eq!(pool.take(), b"12345678", "it is back, as it was");
    }
}
