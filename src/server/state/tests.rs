//! Tests of the state machine, including a property test with random inputs.

use proptest::prelude::*;

use super::*;

/// Stands in for the supervisor: tracks the running generations and checks the invariants after every step.
struct SimulatedSupervisor {
    machine: StateMachine,
    now: Instant,
    candidate: Option<u64>,
    active: Option<u64>,
    building: Option<u64>,
    /// Generation that the last commit replaced and that does not drain yet.
    replaced: Option<u64>,
    making_room: Vec<u64>,
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
            building: None,
            replaced: None,
            making_room: vec![],
            unbuilt: true,
            spawned: vec![],
            stopped: vec![],
        }
    }

    fn step(&mut self, input: Input) {
        let before = self.active;
        let starting = matches!(self.machine.state, State::Starting(_));
        match input {
            Input::Failed => self.stopped.extend(self.candidate.take()),
            Input::Exited => self.stopped.extend(self.active.take()),
            Input::Built { ok } => {
                self.building = None;
                self.unbuilt &= !ok;
            }
            Input::Saved | Input::Changed | Input::Reload => self.unbuilt = true,
            _ => {}
        }
        let effects = self.machine.on_event(input, self.now);
        let respawned = effects
            .iter()
            .any(|effect| matches!(effect, Effect::Spawn(_) | Effect::Build(_)))
            || matches!(self.machine.state, State::MakingRoom(_));
        assert!(
            !(starting && matches!(input, Input::Saved | Input::Changed)) || respawned,
            "a save while starting was lost"
        );
        for effect in effects {
            self.apply(effect);
        }
        assert_eq!(self.machine.active, self.active);
        if before.is_some() && self.active.is_none() {
            assert!(
                matches!(input, Input::Exited | Input::Stop)
                    || before.is_some_and(|it| self.making_room.contains(&it)),
                "the active generation was lost by {input:?}"
            );
        }
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Build(next) => assert_eq!(self.building.replace(next), None),
            Effect::Cancel(next) if self.building.is_some() => {
                assert_eq!((self.building.take(), self.candidate), (Some(next), None));
            }
            Effect::Spawn(next) => {
                assert_eq!(self.candidate, None, "two candidates");
                let rules = self.machine.rules;
                let room = self.active.is_none() && self.making_room.is_empty();
                // The successor of a generation that has lost its link has the same process.
                let shares = self.active.is_some()
                    && self.machine.state == State::Starting(StartCause::Crash);
                let is_alone = rules.succession == Succession::StopFirst;
                assert!(room || shares || !is_alone, "two at once");
                assert!(
                    !(rules.build && self.unbuilt),
                    "what was not built was started"
                );
                assert!(!self.spawned.contains(&next), "a number was used twice");
                self.candidate = Some(next);
                self.spawned.push(next);
            }
            Effect::Cancel(next) => {
                assert_eq!(self.candidate.take(), Some(next));
                if self.machine.stops_first() {
                    self.making_room.push(next);
                } else {
                    self.stopped.push(next);
                }
            }
            Effect::Commit(next, _) => {
                assert_eq!(self.candidate.take(), Some(next));
                self.replaced = self.active.replace(next);
            }
            Effect::Drain(old) if self.replaced == Some(old) => {
                self.replaced = None;
                self.making_room.push(old);
            }
            Effect::Drain(old) => {
                assert_eq!(self.active.take(), Some(old));
                self.making_room.push(old);
            }
            Effect::Open(number) => assert_eq!(self.active, Some(number)),
            Effect::StopAll => {
                assert_eq!((self.candidate, self.active), (None, None));
                self.stopped.append(&mut self.making_room);
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
            7 | 8 if self.candidate.is_some() => Input::Proved,
            9 if self.candidate.is_some() => Input::Failed,
            10 if self.active.is_some() => Input::Exited,
            11 | 12 if self.building.is_some() => Input::Built { ok: choice == 11 },
            13 => {
                let gone = self.making_room.pop()?;
                self.stopped.push(gone);
                Input::Gone(gone)
            }
            14 => match self.machine.state {
                State::Restarting { at } | State::Broken { retry_at: Some(at) } => {
                    self.now = at;
                    Input::Due
                }
                _ => return None,
            },
            15 => {
                self.now += Duration::from_secs(20);
                return None;
            }
            16 => Input::Called,
            17 if self.active.is_some() && self.machine.rules.location == ServerLocation::Here => {
                Input::LinkLost
            }
            18 if self.machine.rules.succession == Succession::Kept => Input::Renewed,
            _ => return None,
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn holds_its_invariants(
        build: bool, kind in 0usize..3, serve_last_good: bool, remote: bool,
        choices in prop::collection::vec(0u8..19, 0..120),
    ) {
        let location = if remote { ServerLocation::Elsewhere } else { ServerLocation::Here };
        let build = build && !remote;
        let succession = [Succession::Overlap, Succession::StopFirst, Succession::Kept][kind];
        let rules = Rules { build, succession, serve_last_good, location };
        let mut world = SimulatedSupervisor::new(rules);
        for choice in choices {
            if let Some(input) = world.input(choice) {
                world.step(input);
            }
            prop_assert_eq!(world.replaced, None, "it does not drain");
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
    let _ = machine.on_event(Input::Begin, now);
    for _ in 1..=5 {
        let _ = machine.on_event(Input::Proved, now);
        let effects = machine.on_event(Input::Exited, now);
        delays.extend(effects.into_iter().filter_map(|effect| match effect {
            Effect::Backoff(delay) => Some(delay.as_millis()),
            _ => None,
        }));
        let _ = machine.on_event(Input::Due, now);
    }
    assert_eq!(delays, [250, 500, 1000, 2000]);
    assert_eq!(machine.state, State::Broken { retry_at: None });
    let effects = machine.on_event(Input::Changed, now);
    assert_eq!(effects, [Effect::Hold, Effect::Spawn(6)]);
    assert!(machine.is_starting(6));
}

#[test]
fn a_lost_link_is_followed_by_another_one_to_the_same_process() {
    for succession in [Succession::Overlap, Succession::StopFirst] {
        let now = Instant::now();
        let mut machine = StateMachine::new(Rules {
            succession,
            ..Rules::default()
        });
        let _ = machine.on_event(Input::Begin, now);
        let _ = machine.on_event(Input::Proved, now);
        let effects = machine.on_event(Input::LinkLost, now);
        assert_eq!(effects, [Effect::Hold, Effect::Spawn(2)]);
        assert_eq!(machine.active, Some(1));
        let effects = machine.on_event(Input::Proved, now);
        let commit = Effect::Commit(2, StartCause::Crash);
        assert_eq!(effects, [commit, Effect::Drain(1), Effect::Open(2)]);
        // The next loss is not answered at once, also while the first generation drains.
        let effects = machine.on_event(Input::LinkLost, now);
        let delay = Duration::from_millis(500);
        assert_eq!(effects, [Effect::Hold, Effect::Backoff(delay)]);
        let effects = machine.on_event(Input::Due, now + delay);
        assert_eq!(effects, [Effect::Spawn(3)]);
        // A process that refuses a new link is given up.
        let effects = machine.on_event(Input::Failed, now + delay);
        assert_eq!(effects[0], Effect::Drain(2));
        let State::Restarting { at } = machine.state else {
            panic!("{:?}", machine.state);
        };
        let effects = machine.on_event(Input::Due, at);
        if succession == Succession::StopFirst {
            assert_eq!(effects, []);
            assert_eq!(machine.on_event(Input::Gone(1), at), []);
            assert_eq!(machine.on_event(Input::Gone(2), at), [Effect::Spawn(4)]);
        } else {
            assert_eq!(effects, [Effect::Spawn(4)]);
        }
    }
}

#[test]
fn a_generation_without_its_link_does_not_serve_in_place_of_broken_code() {
    let rest = [
        [Input::LinkLost, Input::Changed, Input::Failed],
        [Input::Changed, Input::LinkLost, Input::Failed],
        [Input::Changed, Input::Failed, Input::LinkLost],
    ];
    for succession in [Succession::Overlap, Succession::Kept] {
        for rest in rest {
            let now = Instant::now();
            let mut machine = StateMachine::new(Rules {
                succession,
                serve_last_good: true,
                ..Rules::default()
            });
            let inputs = [Input::Begin, Input::Proved].into_iter().chain(rest);
            let mut effects = Vec::new();
            for input in inputs {
                effects = machine.on_event(input, now);
            }
            assert_eq!(effects.last(), Some(&Effect::Refuse), "{rest:?}");
            assert_eq!(machine.active, None);
        }
    }
}

#[test]
fn a_broken_server_that_reloads_itself_starts_again_with_its_next_instance() {
    let now = Instant::now();
    let rules = Rules {
        succession: Succession::Kept,
        ..Rules::default()
    };
    let mut machine = StateMachine::new(rules);
    for input in [Input::Begin, Input::Proved, Input::LinkLost, Input::Failed] {
        let _ = machine.on_event(input, now);
    }
    assert_eq!(machine.state, State::Broken { retry_at: None });
    let effects = machine.on_event(Input::Renewed, now);
    assert_eq!(effects, [Effect::Hold, Effect::Spawn(3)]);
    assert!(machine.on_event(Input::Renewed, now).is_empty());
}

/// Applies `input` to a remote server's machine; returns the delay in ms (0 if none) and the other effects.
fn tries(machine: &mut StateMachine, input: Input, now: Instant) -> (u128, Vec<Effect>) {
    let effects = machine.on_event(input, now);
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
    tries(&mut machine, Input::Proved, now);
    assert_eq!(
        tries(&mut machine, Input::Exited, now),
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
        assert_eq!(tries(&mut machine, Input::Failed, now), (delay, vec![says]));
    }
    tries(&mut machine, Input::Due, now);
    tries(&mut machine, Input::Proved, now);
    assert_eq!((machine.state, machine.active), (State::Live, Some(11)));
    // After a long connection, the delays begin again.
    now += Duration::from_secs(61);
    assert_eq!(tries(&mut machine, Input::Exited, now).0, 250);
}

#[test]
fn a_remote_server_that_was_never_there_is_refused_and_tried() {
    let now = Instant::now();
    let mut machine = remote();
    tries(&mut machine, Input::Begin, now);
    for (next, delay) in [(1, 250), (2, 500), (3, 1000)] {
        let refused = (delay, vec![Effect::Refuse]);
        assert_eq!(tries(&mut machine, Input::Failed, now), refused);
        assert_eq!(
            tries(&mut machine, Input::Due, now).1,
            [Effect::Spawn(next + 1)]
        );
    }
    let (_, effects) = tries(&mut machine, Input::Proved, now);
    assert_eq!(
        effects,
        [Effect::Commit(4, StartCause::Save), Effect::Open(4)]
    );
}

#[test]
fn a_call_retries_a_remote_server_before_its_time() {
    let mut now = Instant::now();
    let mut machine = remote();
    tries(&mut machine, Input::Begin, now);
    for _ in 0..20 {
        tries(&mut machine, Input::Failed, now);
        now += LAST_BACKOFF;
        tries(&mut machine, Input::Due, now);
    }
    let refused = (30_000, vec![Effect::Refuse]);
    assert_eq!(tries(&mut machine, Input::Failed, now), refused);
    // Right after a failure the call waits, and the next one does not put the attempt off.
    for _ in 0..2 {
        let held = machine.on_event(Input::Called, now);
        assert_eq!(held, [Effect::Hold]);
        let retry_at = Some(now + CALL_BACKOFF);
        assert_eq!(machine.state, State::Broken { retry_at });
    }
    now += CALL_BACKOFF;
    assert_eq!(tries(&mut machine, Input::Due, now).1, [Effect::Spawn(22)]);
    let held = machine.on_event(Input::Called, now);
    assert_eq!(held, [Effect::Hold], "the attempt in progress decides");
    assert_eq!(tries(&mut machine, Input::Failed, now), refused);
    now += 2 * CALL_BACKOFF;
    let retried = machine.on_event(Input::Called, now);
    assert_eq!(retried, [Effect::Hold, Effect::Spawn(23)]);
    assert_eq!(
        tries(&mut machine, Input::Proved, now).1,
        [Effect::Commit(23, StartCause::Save), Effect::Open(23)]
    );
    let open = machine.on_event(Input::Called, now);
    assert_eq!(open, [Effect::Open(23)]);
}

#[test]
fn a_call_restarts_no_process() {
    let now = Instant::now();
    let mut machine = StateMachine::new(Rules::default());
    let _ = machine.on_event(Input::Begin, now);
    let _ = machine.on_event(Input::Failed, now);
    let refused = machine.on_event(Input::Called, now);
    assert_eq!(refused, [Effect::Refuse]);
}

#[test]
fn a_touch_before_the_first_client_is_waited_for() {
    let mut machine = StateMachine::new(Rules::default());
    let mut step = |input| machine.on_event(input, Instant::now());
    step(Input::Suspect);
    step(Input::Begin);
    // The process may have read a file that is still being written.
    assert_eq!(step(Input::Proved).last(), Some(&Effect::Hold));
    assert_eq!(step(Input::Unchanged), [Effect::Open(1)]);
}

#[test]
fn the_active_generation_stops_first_if_that_is_required_during_a_start() {
    let now = Instant::now();
    let mut machine = StateMachine::new(Rules::default());
    for input in [Input::Begin, Input::Proved, Input::Changed] {
        let _ = machine.on_event(input, now);
    }
    let stop_first = Rules {
        succession: Succession::StopFirst,
        ..Rules::default()
    };
    let _ = machine.set_rules(stop_first);
    let effects = machine.on_event(Input::Changed, now);
    assert_eq!(effects, [Effect::Cancel(2), Effect::Hold, Effect::Drain(1)]);
    assert_eq!(machine.on_event(Input::Gone(1), now), []);
    assert_eq!(machine.on_event(Input::Gone(2), now), [Effect::Spawn(3)]);
}
