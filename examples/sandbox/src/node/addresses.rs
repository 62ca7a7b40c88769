//! The addresses of the sandbox's nodes and pods: a part of 127.0.0.0/8 that no other sandbox on
//! this machine uses. Linux answers on all of it without any set-up.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;

use rand::RngExt as _;

/// 127.x.0.0/16, held until it is dropped.
#[derive(Debug)]
pub struct Network {
    second: u8,
    /// An abstract socket, which the kernel takes back whatever becomes of this process.
    _lock: UnixListener,
}

impl Network {
    /// Takes a part that is free.
    ///
    /// # Errors
    /// When all are taken.
    pub fn take() -> io::Result<Self> {
        // Not the first ones, which other programs may use by hand.
        let first: u8 = rand::rng().random_range(0..=200);
        for offset in 0..=200_u8 {
            let second = 30 + (u16::from(first) + u16::from(offset)).rem_euclid(201) as u8;
            let name = SocketAddr::from_abstract_name(format!("ms2m-sandbox/127.{second}"))?;
            match UnixListener::bind_addr(&name) {
                Ok(lock) => {
                    return Ok(Self {
                        second,
                        _lock: lock,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(
            "two hundred sandboxes are running already",
        ))
    }

    /// Where the API server and the services are.
    pub fn services(&self) -> IpAddr {
        Ipv4Addr::new(127, self.second, 0, 1).into()
    }

    /// The addresses of the node with this number, from 0: its own and its pods'.
    pub fn node(&self, index: u8) -> (IpAddr, PodAddresses) {
        let prefix = [127, self.second, index + 1];
        let pods = PodAddresses {
            prefix,
            state: Mutex::new((1, BTreeSet::new())),
        };
        let [a, b, c] = prefix;
        (Ipv4Addr::new(a, b, c, 1).into(), pods)
    }
}

/// The addresses of one node's pods.
#[derive(Debug)]
pub struct PodAddresses {
    prefix: [u8; 3],
    /// The last part given out, and those in use.
    state: Mutex<(u8, BTreeSet<u8>)>,
}

impl PodAddresses {
    /// An address that no pod has, and that had none for as long as possible.
    pub fn take(&self) -> Option<IpAddr> {
        let mut state = self.state.lock().expect("no holder panics");
        let (last, used) = &mut *state;
        let free = (*last + 1..=254)
            .chain(2..=*last)
            .find(|part| !used.contains(part))?;
        *last = free;
        used.insert(free);
        let [a, b, c] = self.prefix;
        Some(Ipv4Addr::new(a, b, c, free).into())
    }

    /// Gives an address back.
    pub fn give_back(&self, address: IpAddr) {
        if let IpAddr::V4(address) = address {
            let mut state = self.state.lock().expect("no holder panics");
            state.1.remove(&address.octets()[3]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_sandboxes_share_a_network() {
        let (one, other) = (
            Network::take().expect("is free"),
            Network::take().expect("is free"),
        );
        assert_ne!(one.services(), other.services());
    }

    #[test]
    fn addresses_are_not_given_out_again_at_once() {
        let network = Network::take().expect("is free");
        let (_, pods) = network.node(0);
        let first = pods.take().expect("is free");
        pods.give_back(first);
        assert_ne!(pods.take(), Some(first));
        for _ in 0..252 {
            assert!(pods.take().is_some());
        }
        assert_eq!(pods.take(), None);
    }
}
