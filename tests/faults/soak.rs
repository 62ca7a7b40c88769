//! There and back, again and again, under load, with a fault drawn by lot each time.
//!
//! The producers never stop, so one audit at the end is over all rounds; after each round the
//! survivor's own counts must show nothing lost, doubled or out of order, and nothing may be left.

use std::time::Duration;

use serde_json::json;

use crate::case::{Case, End, FaultOrder};
use crate::place::Place;
use crate::support::Options;
use crate::support::cli::{Followed, Outcome};
use crate::verdict::Excuses;

/// How a short soak is drawn where nobody says otherwise: the same each time.
#[allow(dead_code, reason = "the long one draws by the clock")]
pub(crate) const SEED: u64 = 20_261_126;

/// Rounds of a short one.
#[allow(dead_code, reason = "the long one has more")]
pub(crate) const ROUNDS: u32 = 10;

/// What goes wrong in a round.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Nothing,
    /// `ms2m` is killed after so many milliseconds, and started again.
    Killed(u64),
    /// It is interrupted.
    Interrupted(u64),
    /// The API server fails the n-th request from then on, three times.
    ApiServer(usize),
    /// Its answer is lost.
    LostAnswer(usize),
    /// The registry hiccups.
    Registry,
    /// The checkpoint call fails.
    Checkpoint,
    /// The restore fails for good.
    Restore,
    /// The transfer is cut off in the middle.
    Transfer,
    /// The source loses its connection.
    Disconnected(u64),
    /// The broker is killed.
    Broker(u64),
}

/// A sequence of numbers from a seed (splitmix64): the same on every machine.
struct Lot(u64);

impl Lot {
    fn draw(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn fault(&mut self) -> Fault {
        let moment = self.draw(3_000);
        let request = usize::try_from(self.draw(60)).expect("it is small");
        match self.draw(14) {
            0 => Fault::Nothing,
            1..=3 => Fault::Killed(moment),
            4 | 5 => Fault::Interrupted(moment),
            6 => Fault::ApiServer(request),
            7 => Fault::LostAnswer(request),
            8 => Fault::Registry,
            9 => Fault::Checkpoint,
            10 => Fault::Restore,
            11 => Fault::Transfer,
            12 => Fault::Disconnected(moment),
            _ => Fault::Broker(moment),
        }
    }
}

/// So many migrations, with the faults that `seed` draws.
pub(crate) async fn soak(seed: u64, rounds: u32) {
    let mut lot = Lot(seed);
    let place = Place::disturbed().await;
    let mut case = Case::start_with(place, "soak", &Options::default(), 40.0).await;
    let (mut moved, mut excuses) = (0, Excuses::default());
    for round in 1..=rounds {
        let fault = lot.fault();
        excuses.redelivered |= matches!(fault, Fault::Broker(_) | Fault::Disconnected(_));
        let outcome = struck(&case, fault).await;
        // The call for the checkpoint may have been the last of one that was killed.
        case.archive_may_stay |= matches!(fault, Fault::Killed(_));
        place.world.clear_faults().await;
        place.api.delete("/sandbox/faults").await;
        let end = case.settle(outcome).await;
        moved += u32::from(end == End::Completed);
        eprintln!("soak, seed {seed}, round {round} of {rounds}: {fault:?}: {end:?}");
        let survivor = case.survivor(end).to_owned();
        let state = case.serves(&survivor).await.state;
        assert_eq!(state.lost(), 0, "seed {seed}, round {round}: {fault:?}");
        let odd = if excuses.redelivered {
            0
        } else {
            state.doubled()
        } + state.out_of_order();
        assert_eq!(odd, 0, "seed {seed}, round {round}: {fault:?}");
        case.nothing_is_left(end).await;
        if end == End::Completed {
            case.turn_round().await;
        }
    }
    let survivor = case.app.pod.clone();
    case.is_exact(&survivor, excuses).await;
    eprintln!("soak, seed {seed}: {rounds} rounds, {moved} of them moved the pod; exact");
    case.clear().await;
}

/// One `ms2m migrate` with the fault.
async fn struck(case: &Case, fault: Fault) -> Outcome {
    let full = format!("{}/{}", case.app.namespace, case.app.pod);
    let world = &case.place.world;
    match fault {
        Fault::Nothing | Fault::Killed(_) | Fault::Interrupted(_) => {}
        Fault::Disconnected(_) | Fault::Broker(_) => {}
        Fault::ApiServer(skip) => any_request(case, skip, false).await,
        Fault::LostAnswer(skip) => any_request(case, skip, true).await,
        Fault::Registry => {
            let order = json!({"path": case.app.namespace, "status": 503, "times": 2});
            world.order("/registry", order).await;
        }
        Fault::Transfer => {
            let order = json!({"path": case.app.namespace, "cutAfterBytes": 1, "times": 1});
            world.order("/registry", order).await;
        }
        Fault::Checkpoint => {
            case.kubelet_fault("checkpoint", "In-flight connection", 1)
                .await
        }
        Fault::Restore => case.kubelet_fault("restore", "image not known", 100).await,
    }
    let running = case.migrate();
    match fault {
        Fault::Killed(after) => strike(running, after, async |it| it.signal("KILL").await).await,
        Fault::Interrupted(after) => {
            strike(running, after, async |it| it.signal("INT").await).await
        }
        Fault::Disconnected(after) => {
            let order = json!({"do": "disconnect", "pod": full});
            strike(running, after, async |_| {
                // The source may be gone by then.
                let _ = world.try_order("/broker", order).await;
            })
            .await
        }
        Fault::Broker(after) => {
            strike(running, after, async |_| {
                // Not killed: see `src/migration/steps/outage.rs` for what that may undo.
                world.order("/broker", json!({"do": "stop"})).await;
                world.order("/broker", json!({"do": "start"})).await;
            })
            .await
        }
        _ => running.outcome().await,
    }
}

/// Does something after so many milliseconds, if it still runs, and waits for the end.
async fn strike(mut running: Followed, after: u64, act: impl AsyncFnOnce(&Followed)) -> Outcome {
    // The moment is drawn by lot; that it comes at a random time is the point.
    let moment = tokio::time::sleep(Duration::from_millis(after));
    let still = tokio::select! {
        () = moment => true,
        () = running.falls_silent() => false,
    };
    if still {
        act(&running).await;
    }
    running.outcome().await
}

async fn any_request(case: &Case, skip: usize, after: bool) {
    for action in [json!({"cut": true}), json!({"status": 500})] {
        let order = FaultOrder {
            verb: "patch",
            path: "",
            skip: skip % 12,
            times: 1,
            after,
            action,
        };
        case.fault(order).await;
    }
}
