//! A program for containers in tests, which does what its arguments say, one after the other:
//! `print TEXT`, `env NAME`, `cat FILE`, `ls DIRECTORY`, `hostname`, `write FILE TEXT`,
//! `sleep MILLISECONDS`, `listen PORT`, `relay PORT ADDRESS` (connections go on to there, under the
//! address that they come from), `wait` (until SIGTERM), `ignore` (SIGTERM; prints `deaf` from when it does)
//! and `exit CODE`. It has no part in checkpoints.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use std::{env, fs, io, process, thread};

use tokio::signal::unix::{SignalKind, signal};

fn main() -> io::Result<()> {
    let mut words = env::args().skip(1);
    while let Some(action) = words.next() {
        let mut word = || words.next().unwrap_or_default();
        match action.as_str() {
            "print" => say(&word())?,
            "env" => say(&env::var(word()).unwrap_or_else(|_| "-".to_owned()))?,
            "cat" => say(fs::read_to_string(word())?.trim_end())?,
            "ls" => say(&list(&word())?)?,
            "hostname" => say(&rustix::system::uname().nodename().to_string_lossy())?,
            "write" => fs::write(word(), word())?,
            "sleep" => thread::sleep(Duration::from_millis(number(&word())?)),
            "listen" => listen(number(&word())?)?,
            "relay" => relay(number(&word())?, &word())?,
            "wait" => wait(true)?,
            "ignore" => wait(false)?,
            "exit" => process::exit(number(&word())?),
            other => return Err(io::Error::other(format!("{other:?} is nothing to do"))),
        }
    }
    Ok(())
}

fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

fn number<T: std::str::FromStr>(text: &str) -> io::Result<T> {
    text.parse()
        .map_err(|_| io::Error::other(format!("{text:?} is no number")))
}

fn list(directory: &str) -> io::Result<String> {
    let mut names: Vec<_> = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()?;
    names.sort();
    Ok(names.join(" "))
}

/// Accepts and drops connections at the pod's own address.
fn listen(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((own_address()?, port))?;
    thread::spawn(move || listener.incoming().for_each(drop));
    Ok(())
}

/// Passes connections on from the pod's own address, as a Service does: whoever is at the other end
/// sees the address that they come from.
fn relay(port: u16, to: &str) -> io::Result<()> {
    let listener = TcpListener::bind((own_address()?, port))?;
    let to: SocketAddr = to
        .parse()
        .map_err(|_| io::Error::other(format!("{to:?} is no address")))?;
    thread::spawn(move || {
        for from in listener.incoming().flatten() {
            // A connection that cannot be passed on ends; so does the program's part in it.
            thread::spawn(move || pass_on(from, to));
        }
    });
    Ok(())
}

fn pass_on(from: TcpStream, to: SocketAddr) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let peer = from.peer_addr()?.ip();
        from.set_nonblocking(true)?;
        let mut from = tokio::net::TcpStream::from_std(from)?;
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind((peer, 0).into())?;
        let mut to = socket.connect(to).await?;
        tokio::io::copy_bidirectional(&mut from, &mut to).await?;
        Ok(())
    })
}

fn own_address() -> io::Result<IpAddr> {
    let name = fs::read_to_string("/etc/hostname")?;
    let hosts = fs::read_to_string("/etc/hosts")?;
    hosts
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .find(|(_, host)| *host == name.trim())
        .and_then(|(address, _)| address.parse::<IpAddr>().ok())
        .ok_or_else(|| io::Error::other("the pod has no address"))
}

fn wait(ends: bool) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        if !ends {
            say("deaf")?;
        }
        loop {
            terminate.recv().await;
            if ends {
                return Ok(());
            }
        }
    })
}
