//! Runs the cases side by side, as many as the machine bears.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, Semaphore};

/// How many cases are at work at once. A case takes about a fifth of a core.
const AT_ONCE: usize = 8;

/// No case takes so long: one that hangs fails with its name, and does not take the others with it.
const A_CASE: Duration = Duration::from_secs(600);

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static PERMITS: Semaphore = Semaphore::const_new(AT_ONCE);

/// All cases.
#[derive(Default)]
pub(crate) struct Trials(Vec<Trial>);

/// Cases of which one runs at a time.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<()>>);

impl Trials {
    /// Adds a case.
    pub(crate) fn add<F>(
        &mut self,
        name: impl Into<String>,
        case: impl FnOnce() -> F + Send + 'static,
    ) where
        F: Future<Output = ()>,
    {
        self.push(name.into(), async || PERMITS.acquire().await, case);
    }

    /// Adds a case that waits for its turn, and for nothing else: such cases have a sandbox of
    /// their own.
    pub(crate) fn add_in_turn<F>(
        &mut self,
        turns: &Turns,
        name: impl Into<String>,
        case: impl FnOnce() -> F + Send + 'static,
    ) where
        F: Future<Output = ()>,
    {
        let turns = turns.clone();
        let turn = async move || turns.0.lock_owned().await;
        self.push(name.into(), turn, case);
    }

    fn push<F, T>(
        &mut self,
        name: String,
        turn: impl AsyncFnOnce() -> T + Send + 'static,
        case: impl FnOnce() -> F + Send + 'static,
    ) where
        F: Future<Output = ()>,
    {
        let run = move || {
            runtime().block_on(async move {
                let _turn = turn().await;
                let ended = tokio::time::timeout(A_CASE, Box::pin(case())).await;
                assert!(ended.is_ok(), "not ended within {} s", A_CASE.as_secs());
            });
            Ok(())
        };
        self.0.push(Trial::test(name, run));
    }

    /// Runs them, and ends the process.
    pub(crate) fn run(self, mut arguments: Arguments) -> ! {
        // A thread each: what limits them are the permits, so that those that wait for their turn
        // hold nobody up.
        arguments.test_threads.get_or_insert(self.0.len().max(2));
        libtest_mimic::run(&arguments, self.0).exit()
    }
}

fn runtime() -> &'static Runtime {
    RUNTIME.get_or_init(|| Runtime::new().expect("a runtime can be had"))
}
