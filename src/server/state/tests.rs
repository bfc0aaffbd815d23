//! Tests of the state machine, including a property test with random inputs.

use proptest::prelude::*;

use super::*;

/// Stands in for the supervisor: tracks the running generations and checks the invariants after every step.
struct SimulatedSupervisor {
    machine: StateMachine,
    now: Instant,
    candidate: Option<u64>,
    active: Option<u64>,
    building: bool,
    stopping: Vec<u64>,
    making_room: Option<u64>,
    /// True if no successful build has included the latest change.
    unbuilt: bool,
    spawned: Vec<u64>,
    stopped: Vec<u64>,
}

impl SimulatedSupervisor {
    fn new(rules: Rules) -> Self {
        Self {
            machine: StateMachine::new(rules),
            now: Instant::now(),
            candidate: None,
            active: None,
            building: false,
            stopping: vec![],
            making_room: None,
            unbuilt: true,
            spawned: vec![],
            stopped: vec![],
        }
    }

    fn step(&mut self, input: Input) {
        let before = self.active;
        let starting = matches!(self.machine.state, State::Starting { .. });
        let (machine, effects) = self.machine.clone().on_event(input, self.now);
        self.machine = machine;
        match input {
            Input::Proved(_) | Input::Failed(_) if self.candidate.is_some() => {
                if let Input::Failed(failed) = input {
                    self.candidate = None;
                    self.stopped.push(failed);
                }
            }
            Input::Exited(exited) => {
                assert_eq!(self.active, Some(exited));
                self.active = None;
                self.stopped.push(exited);
            }
            Input::Built { ok, .. } => {
                self.building = false;
                self.unbuilt &= !ok;
            }
            Input::Saved | Input::Changed | Input::Reload => self.unbuilt = true,
            _ => {}
        }
        let respawned = effects
            .iter()
            .any(|effect| matches!(effect, Effect::Spawn(_) | Effect::Build(_)))
            || matches!(self.machine.state, State::MakingRoom { .. });
        assert!(
            !(starting && matches!(input, Input::Saved | Input::Changed)) || respawned,
            "a save while starting was lost"
        );
        for effect in effects {
            self.apply(effect);
        }
        if before.is_some() && self.active.is_none() {
            assert!(
                matches!(input, Input::Exited(_) | Input::Stop) || self.making_room == before,
                "the active generation was lost by {input:?}"
            );
        }
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Build(_) => {
                assert!(!self.building);
                self.building = true;
            }
            Effect::CancelBuild => {
                assert!(self.building);
                self.building = false;
            }
            Effect::Spawn(next) => {
                assert_eq!(self.candidate, None, "two candidates");
                let rules = self.machine.rules;
                let room = self.active.is_none() && self.making_room.is_none();
                assert!(room || !rules.stop_first, "two at once");
                assert!(
                    !(rules.build && self.unbuilt),
                    "what was not built was started"
                );
                assert!(!self.spawned.contains(&next), "a number was used twice");
                self.candidate = Some(next);
                self.spawned.push(next);
            }
            Effect::Kill(next) => {
                assert_eq!(self.candidate.take(), Some(next));
                if self.machine.rules.stop_first {
                    assert_eq!(self.making_room.replace(next), None);
                } else {
                    self.stopped.push(next);
                }
            }
            Effect::Commit(next, _) => {
                assert_eq!(self.candidate.take(), Some(next));
                if let Some(old) = self.active.replace(next) {
                    self.stopping.push(old);
                }
            }
            Effect::Drain(old) => {
                assert!(self.stopping.contains(&old));
                self.stopping.retain(|number| *number != old);
                self.stopped.push(old);
            }
            Effect::MakeRoom(old) => {
                assert_eq!(self.active.take(), Some(old));
                self.making_room = Some(old);
            }
            Effect::Open(number) => assert_eq!(self.active, Some(number)),
            Effect::StopAll => {
                self.building = false;
                let all = [
                    self.candidate.take(),
                    self.active.take(),
                    self.making_room.take(),
                ];
                self.stopped.extend(all.into_iter().flatten());
            }
            Effect::Hold | Effect::Refuse | Effect::Backoff(_) | Effect::Flapping => {}
        }
    }

    /// Maps a random number to an input that is possible now.
    fn input(&mut self, choice: u8) -> Option<Input> {
        Some(match choice {
            0 => Input::Begin,
            1 => Input::Suspect,
            2 => Input::Unchanged,
            3 => Input::Changed,
            4 if self.machine.may_start_early() => Input::Saved,
            5 => Input::Reload,
            6 => Input::ClientChanged,
            7 | 8 => Input::Proved(self.candidate?),
            9 => Input::Failed(self.candidate?),
            10 => Input::Exited(self.active?),
            11 | 12 if self.building => Input::Built {
                next: self.machine.last,
                ok: choice == 11,
            },
            13 => {
                let gone = self.making_room.take()?;
                self.stopped.push(gone);
                Input::Gone(gone)
            }
            14 => match self.machine.state {
                State::Restarting { at }
                | State::Broken {
                    retry_at: Some(at), ..
                } => {
                    self.now = at;
                    Input::Due
                }
                _ => return None,
            },
            15 => {
                self.now += Duration::from_secs(20);
                return None;
            }
            _ => return None,
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn holds_its_invariants(
        build: bool, stop_first: bool, serve_last_good: bool, remote: bool,
        choices in prop::collection::vec(0u8..16, 0..120),
    ) {
        let location = if remote { ServerLocation::Elsewhere } else { ServerLocation::Here };
        let rules = Rules { build: build && !remote, stop_first, serve_last_good, location };
        let mut world = SimulatedSupervisor::new(rules);
        for choice in choices {
            if let Some(input) = world.input(choice) {
                world.step(input);
            }
            prop_assert_eq!(world.stopping.len(), 0);
        }
        world.step(Input::Stop);
        let (mut spawned, mut stopped) = (world.spawned, world.stopped);
        spawned.sort_unstable();
        stopped.sort_unstable();
        prop_assert_eq!(spawned, stopped, "a generation was not stopped, or twice");
    }
}

#[test]
fn five_exits_in_a_minute_wait_for_a_change() {
    let now = Instant::now();
    let mut machine = StateMachine::new(Rules::default());
    let mut delays = Vec::new();
    (machine, _) = machine.on_event(Input::Begin, now);
    for generation in 1..=5 {
        (machine, _) = machine.on_event(Input::Proved(generation), now);
        let effects;
        (machine, effects) = machine.on_event(Input::Exited(generation), now);
        delays.extend(effects.into_iter().filter_map(|effect| match effect {
            Effect::Backoff(delay) => Some(delay.as_millis()),
            _ => None,
        }));
        (machine, _) = machine.on_event(Input::Due, now);
    }
    assert_eq!(delays, [250, 500, 1000, 2000]);
    let broken = State::Broken {
        old: None,
        retry_at: None,
    };
    assert_eq!(machine.state, broken);
    let (machine, effects) = machine.on_event(Input::Changed, now);
    assert_eq!(effects, [Effect::Hold, Effect::Spawn(6)]);
    assert!(matches!(machine.state, State::Starting { next: 6, .. }));
}

/// Applies `input` to a remote server's machine; returns the delay in ms (0 if none) and the other effects.
fn tries(machine: &mut StateMachine, input: Input, now: Instant) -> (u128, Vec<Effect>) {
    let (next, effects) = machine.clone().on_event(input, now);
    *machine = next;
    let delay = effects.iter().find_map(|effect| match effect {
        Effect::Backoff(delay) => Some(delay.as_millis()),
        _ => None,
    });
    let rest = effects.into_iter();
    let rest = rest.filter(|effect| !matches!(effect, Effect::Backoff(_)));
    (delay.unwrap_or_default(), rest.collect())
}

fn remote() -> StateMachine {
    StateMachine::new(Rules {
        location: ServerLocation::Elsewhere,
        ..Rules::default()
    })
}

#[test]
fn a_remote_server_that_is_lost_is_tried_for_ever() {
    let mut now = Instant::now();
    let mut machine = remote();
    tries(&mut machine, Input::Begin, now);
    tries(&mut machine, Input::Proved(1), now);
    assert_eq!(
        tries(&mut machine, Input::Exited(1), now),
        (250, vec![Effect::Hold])
    );
    for (at, delay) in [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]
        .into_iter()
        .enumerate()
    {
        let next = 2 + at as u64;
        now += Duration::from_secs(30);
        let (_, effects) = tries(&mut machine, Input::Due, now);
        assert_eq!(effects, [Effect::Spawn(next)]);
        let says = if at < 3 { Effect::Hold } else { Effect::Refuse };
        assert_eq!(
            tries(&mut machine, Input::Failed(next), now),
            (delay, vec![says])
        );
    }
    tries(&mut machine, Input::Due, now);
    tries(&mut machine, Input::Proved(11), now);
    assert_eq!(machine.state, State::Live { active: 11 });
    // After a long connection, the delays begin again.
    now += Duration::from_secs(61);
    assert_eq!(tries(&mut machine, Input::Exited(11), now).0, 250);
}

#[test]
fn a_remote_server_that_was_never_there_is_refused_and_tried() {
    let now = Instant::now();
    let mut machine = remote();
    tries(&mut machine, Input::Begin, now);
    for (next, delay) in [(1, 250), (2, 500), (3, 1000)] {
        let refused = (delay, vec![Effect::Refuse]);
        assert_eq!(tries(&mut machine, Input::Failed(next), now), refused);
        assert_eq!(
            tries(&mut machine, Input::Due, now).1,
            [Effect::Spawn(next + 1)]
        );
    }
    let (_, effects) = tries(&mut machine, Input::Proved(4), now);
    assert_eq!(
        effects,
        [Effect::Commit(4, StartCause::Save), Effect::Open(4)]
    );
}

#[test]
fn what_was_touched_before_the_first_client_came_is_waited_for() {
    let mut machine = StateMachine::new(Rules::default());
    let mut step = |input| {
        let (next, effects) = machine.clone().on_event(input, Instant::now());
        machine = next;
        effects
    };
    step(Input::Suspect);
    step(Input::Begin);
    // The process may have read a file that is still being written.
    assert_eq!(step(Input::Proved(1)).last(), Some(&Effect::Hold));
    assert_eq!(step(Input::Unchanged), [Effect::Open(1)]);
}
