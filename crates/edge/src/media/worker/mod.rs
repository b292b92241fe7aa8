//! A media worker: one OS thread with one UDP socket and every participant that is pinned to it.
//!
//! One turn of its loop takes commands, then relayed packets, then what came over the network, then
//! timers, each within a bound, and sends what came of it together.

mod command;
mod data;
mod handle;
mod network;
mod obey;
mod outbox;
mod peer;
mod quality;
mod report;
mod strangers;
mod table;

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use mio::{Events, Poll, Token};
use sluice_sfu::forward::{Forwarder, SourceId};
use sluice_types::units::Time;
use tokio::sync::mpsc;

pub(crate) use self::command::{Command, Ice, TrackOrigin, TrackTarget};
pub(crate) use self::handle::{Mailbox, WorkerHandle};
use self::outbox::{Notice, WireOutbox};
use self::report::Shared;
use self::strangers::Strangers;
use self::table::Table;
use super::event::MediaEvent;
use super::relay::{RelayInlet, Relayed};
use sluice_wire::dtls::DtlsIdentity;
use sluice_wire::udp::{Receiver, Sender};

/// How many commands, relayed packets and batches of datagrams one turn takes.
const COMMANDS_PER_TURN: usize = 512;
const RELAYED_PER_TURN: usize = 512;
const BATCHES_PER_TURN: usize = 4;

const SOCKET: Token = Token(0);
const WAKE: Token = Token(1);

/// The longest that a worker sleeps.
const SLEEP_MAX: Duration = Duration::from_millis(20);

/// How often timeouts of DTLS and SCTP are looked at; theirs are coarser.
const TRANSPORT_INTERVAL: Duration = Duration::from_millis(20);

/// How often consent is looked after, and the report made.
const CHORES_INTERVAL: Duration = Duration::from_millis(500);

struct Worker {
    index: usize,
    socket: Arc<UdpSocket>,
    poll: Poll,
    commands: Arc<ArrayQueue<Command>>,
    inlet: RelayInlet,
    events: mpsc::Sender<MediaEvent>,
    identity: DtlsIdentity,
    shared: Arc<Shared>,
    started: Instant,
    forwarder: Forwarder,
    table: Table,
    strangers: Strangers,
    sender: Sender,
    notices: Vec<Notice>,
    next_link: u64,
    next_transport: Time,
    next_chores: Time,
    busy: Duration,
    stopping: bool,
}

impl Worker {
    fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    /// The forwarder, and where its output goes.
    fn forward(&mut self) -> (&mut Forwarder, WireOutbox<'_>) {
        (
            &mut self.forwarder,
            WireOutbox {
                table: &mut self.table,
                sender: &mut self.sender,
                socket: &self.socket,
                notices: &mut self.notices,
            },
        )
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(8);
        let mut receiver = Receiver::new();
        let mut more = false;
        while !self.stopping {
            let wait = if more { Duration::ZERO } else { self.sleep() };
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(worker = self.index, %error, "polling failed; the worker ends");
                return;
            }
            let awake = Instant::now();
            more = self.obey();
            more |= self.take_relayed();
            more |= self.receive(&mut receiver);
            self.handle_timeouts();
            self.finish();
            self.busy += awake.elapsed();
        }
        self.say_goodbye();
    }

    fn sleep(&self) -> Duration {
        self.forwarder
            .poll_timeout()
            .since(self.now())
            .min(SLEEP_MAX)
    }

    fn end_burst(&mut self) {
        let now = self.now();
        let (forwarder, mut outbox) = self.forward();
        forwarder.end_burst(now, &mut outbox);
    }

    fn take_relayed(&mut self) -> bool {
        self.forwarder.begin_burst();
        let more = self.take_some_relayed();
        self.end_burst();
        more
    }

    fn take_some_relayed(&mut self) -> bool {
        for _ in 0..RELAYED_PER_TURN {
            let Some((key, relayed)) = self.inlet.take() else {
                return false;
            };
            let Some(source) = self.table.tracks.get(&key).map(|track| track.source) else {
                continue;
            };
            let now = self.now();
            let (forwarder, mut outbox) = self.forward();
            match &relayed {
                Relayed::Media(packet) => {
                    forwarder.handle_relayed(now, source, packet, &mut outbox);
                }
                Relayed::Crossed(packet) => {
                    forwarder.handle_relayed(now, source, packet, &mut outbox);
                }
                &Relayed::Clock(encoding, clock) => {
                    forwarder.handle_clock(now, source, encoding, clock, &mut outbox);
                }
            }
            self.inlet.recycle(relayed);
        }
        true
    }

    fn handle_timeouts(&mut self) {
        let now = self.now();
        let (forwarder, mut outbox) = self.forward();
        forwarder.handle_timeout(now, &mut outbox);
        if now >= self.next_transport {
            self.next_transport = now + TRANSPORT_INTERVAL;
            self.handle_dtls_timeouts();
            self.handle_data_timeouts();
        }
        if now >= self.next_chores {
            let since = now.since(self.next_chores) + CHORES_INTERVAL;
            self.next_chores = now + CHORES_INTERVAL;
            self.look_after_consent(now);
            self.measure_quality(now);
            self.make_report(since);
        }
    }

    /// Sends what this turn gathered, and passes on what it noticed.
    fn finish(&mut self) {
        if !self.sender.is_empty() {
            self.sender.flush(&self.socket);
        }
        for link in self.table.links.values_mut() {
            if link.queued {
                link.queued = false;
                link.outlet.flush();
            }
        }
        if !self.notices.is_empty() {
            for notice in std::mem::take(&mut self.notices) {
                if let Some(event) = self.event_of(notice) {
                    self.say(event);
                }
            }
        }
    }

    /// What the forwarder noticed, in the words of the rest of the edge; `None` when it is of
    /// something that is gone.
    fn event_of(&mut self, notice: Notice) -> Option<MediaEvent> {
        let table = &mut self.table;
        let id_of = |source: SourceId| Some(table.track(source)?.id.clone());
        Some(match notice {
            Notice::KeyFrameWanted(source, encoding) => {
                let track = table.track(source)?;
                if let Some((worker, _)) = &track.across {
                    worker.tell(Command::RequestKeyFrame {
                        track: *table.track_of.get(&source)?,
                        encoding,
                    });
                    return None;
                }
                MediaEvent::KeyFrameWanted {
                    track: track.id.clone(),
                    encoding,
                }
            }
            Notice::FirstPacket(source) => MediaEvent::FirstPacket {
                track: table
                    .track(source)
                    .filter(|track| track.across.is_none())?
                    .id
                    .clone(),
            },
            Notice::LayersWanted(source, layers) => {
                let track = table.track(source)?;
                if let Some((worker, sink)) = &track.across {
                    worker.tell(Command::SetLayers {
                        sink: *sink,
                        layers,
                    });
                    return None;
                }
                MediaEvent::LayersWanted {
                    track: track.id.clone(),
                    layers,
                }
            }
            Notice::Speakers(room, speakers) => MediaEvent::Speakers {
                worker: self.index,
                room: table.rooms.get(&room)?.clone(),
                tracks: speakers
                    .into_iter()
                    .filter_map(|(source, level)| Some((id_of(source)?, level)))
                    .collect(),
            },
            Notice::Paused(sink, paused) => {
                let entry = table.sinks.get(table.sink_of.get(&sink)?)?;
                let track = table.tracks.get(&entry.track)?.id.clone();
                let peer = table.by_key(entry.receiver?)?;
                MediaEvent::Paused {
                    room: peer.room.clone(),
                    participant: peer.participant.clone(),
                    track,
                    paused,
                }
            }
        })
    }

    /// Tells the hub. When it is so far behind that its queue is full, the event is lost and
    /// logged: key frames are asked for again, and consent is looked after again.
    fn say(&self, event: MediaEvent) {
        if let Err(error) = self.events.try_send(event) {
            tracing::warn!(worker = self.index, %error, "an event of media is lost");
        }
    }
}
