//! Runs the checker, and shows that from every state an end can be reached.

use std::collections::HashMap;

use stateright::{Checker, Model};

use crate::model::{Action, Setup, State};

/// Checks everything of a setup.
pub(crate) fn check(name: &str, setup: Setup) {
    let began = std::time::Instant::now();
    let checker = setup.clone().checker().threads(2).spawn_bfs().join();
    println!(
        "{name}: {} states in {:.1} s",
        checker.unique_state_count(),
        began.elapsed().as_secs_f64()
    );
    for (property, path) in checker.discoveries() {
        if checker.model().property(property).expectation != stateright::Expectation::Sometimes {
            panic!(
                "{name}: '{property}' does not hold:\n{}",
                tell(&path.into_vec())
            );
        }
    }
    checker.assert_properties();
    every_state_has_a_way_to_an_end(name, &setup);
}

/// The shortest way to a state in which `property` does not hold.
pub(crate) fn counterexample(setup: Setup, property: &'static str) -> Option<String> {
    let checker = setup.checker().threads(2).spawn_bfs().join();
    let path = checker.discovery(property)?;
    Some(tell(&path.into_vec()))
}

fn tell(path: &[(State, Option<Action>)]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for (state, action) in path {
        let world = &state.world;
        let _ = writeln!(
            text,
            "  {:?}{}: Q {:?}, R {:?}, H {:?}; source {}, target {}{}",
            state.ms2m.journal.stage,
            if state.ms2m.journal.aborting {
                " (aborting)"
            } else {
                ""
            },
            world.queues[0],
            world.queues[1],
            world.queues[2],
            process(world.source.as_ref()),
            process(world.target.as_ref()),
            state
                .ms2m
                .pending
                .map_or(String::new(), |pending| format!("; about to {pending:?}")),
        );
        if let Some(action) = action {
            let _ = writeln!(text, "-> {action:?}");
        }
    }
    text
}

fn process(process: Option<&crate::world::Process>) -> String {
    process.map_or("none".to_owned(), |process| {
        let place = process
            .on
            .map_or("away".to_owned(), |place| format!("on {place:?}"));
        format!("{place} with {:?}", process.applied)
    })
}

/// Walks the whole graph once more, with the ways between the states, and then back from the ends.
fn every_state_has_a_way_to_an_end(name: &str, setup: &Setup) {
    let graph = Graph::of(setup);
    let stuck = graph.without_a_way_to(|state| state.has_ended() || state.is_beyond_help());
    if let Some(state) = stuck {
        panic!("{name}: from this state no end can be reached:\n{state:#?}");
    }
}

struct Graph {
    states: Vec<State>,
    before: Vec<Vec<u32>>,
}

impl Graph {
    fn of(setup: &Setup) -> Self {
        let mut states = setup.init_states();
        let mut before = vec![Vec::new(); states.len()];
        let mut index: HashMap<State, u32> = states.iter().cloned().zip(0..).collect();
        let (mut at, mut actions) = (0, Vec::new());
        while at < states.len() {
            actions.clear();
            setup.actions(&states[at], &mut actions);
            for action in actions.drain(..) {
                let Some(next) = setup.next_state(&states[at], action) else {
                    continue;
                };
                let number = *index.entry(next).or_insert_with_key(|next| {
                    states.push(next.clone());
                    before.push(Vec::new());
                    u32::try_from(states.len() - 1).expect("fewer than four billion states")
                });
                before[number as usize].push(u32::try_from(at).expect("as above"));
            }
            at += 1;
        }
        Self { states, before }
    }

    /// A state from which none that satisfies `is_end` can be reached.
    fn without_a_way_to(&self, is_end: impl Fn(&State) -> bool) -> Option<&State> {
        let mut reached: Vec<bool> = self.states.iter().map(is_end).collect();
        let mut open: Vec<usize> = (0..reached.len()).filter(|at| reached[*at]).collect();
        while let Some(at) = open.pop() {
            for before in &self.before[at] {
                let before = *before as usize;
                if !reached[before] {
                    reached[before] = true;
                    open.push(before);
                }
            }
        }
        self.states
            .iter()
            .zip(reached)
            .find(|(_, reached)| !reached)
            .map(|(state, _)| state)
    }
}
