//! What participants do.

use std::time::Duration;

use sluice_types::room::{PresenceChange, TrackSource};
use sluice_types::signal::{Priority, ServerMessage, Subscription, Wish};
use sluice_types::topology::Topology;

use super::client::{Ask, At, Client};
use super::event::{EdgeEvent, Event, Running, Said, Stay, meeting};
use super::network::HostIx;
use super::scene::{ACCESS, Scene};
use super::{RESTLESS, Simulation};
use crate::Invariant;

/// How often a client sends.
const SENDS: Duration = Duration::from_millis(100);

/// How long a client waits before it asks for an edge once more.
const AGAIN: Duration = Duration::from_millis(800);

/// How long nothing may come before a client looks for another edge.
const EDGE_SILENT: Duration = Duration::from_millis(2_500);

/// How often somebody does something.
const ACTS: Duration = Duration::from_millis(4_000);

/// Those who take part: one to three meetings of two to six.
pub(super) fn gather(scene: &mut Scene, topology: &Topology) -> Vec<Client> {
    let mut clients = Vec::new();
    let regions = topology.regions();
    for room in 0..1 + scene.dice.below(3) {
        for _ in 0..2 + scene.dice.below(5) {
            let region = &regions[scene.dice.below(regions.len() as u64) as usize];
            let number = clients.len();
            let mut client = Client::new(number, meeting(room), region.position());
            client.publish(TrackSource::Microphone);
            if scene.chance(60) {
                client.publish(TrackSource::Camera);
            }
            let wait = scene.part_of(Duration::from_secs(8));
            scene.after(wait, Event::Ask(number, Ask::Join));
            let wait = wait + scene.part_of(ACTS);
            scene.after(wait, Event::Ask(number, Ask::Act));
            clients.push(client);
        }
    }
    clients
}

impl Simulation {
    /// A client's edge died.
    pub(super) fn edge_gone(&mut self, host: HostIx) {
        for client in &self.clients {
            let at = match client.at {
                At::Inside(at) | At::Entering(at) => at,
                At::Outside | At::Gone => continue,
            };
            if at.host == host {
                let wait = self.scene.part_of(EDGE_SILENT);
                let gone = Event::Ask(client.stay.client, Ask::EdgeGone(client.stay));
                self.scene.after(wait, gone);
            }
        }
    }

    fn say(&mut self, client: usize, said: Said) {
        let client = &self.clients[client];
        if let Some(edge) = client.inside() {
            let event = EdgeEvent::Says(client.stay, said);
            self.scene.edge_after(ACCESS, edge, event);
        }
    }

    pub(super) fn told(&mut self, stay: Stay, message: ServerMessage) {
        let client = &mut self.clients[stay.client];
        if client.stay != stay || !client.has_socket {
            return;
        }
        self.scene
            .note(|| format!("{stay:?} is told {:?}", message.event));
        match client.told(message) {
            Ok(Some(revision)) => self.say(stay.client, Said::Answer { revision }),
            Ok(None) => {}
            Err(what) => {
                let (now, id) = (self.scene.now, &client.participant);
                let what = format!("{id} was told what cannot be: {what}");
                self.scene.watch.breaks(Invariant::NoDuplicates, now, what);
            }
        }
    }

    pub(super) fn ask(&mut self, number: usize, ask: Ask) {
        let scene = &mut self.scene;
        let client = &mut self.clients[number];
        let again = Event::Ask(number, Ask::Join);
        match ask {
            Ask::Join => {
                if client.at != At::Outside {
                    return;
                }
                let mut seat = None;
                if scene.net.is_alive(scene.coordinator()) {
                    let (room, position) = (&client.room, client.position);
                    seat = self.coordinator.seat(scene, &self.store, room, position);
                }
                scene.after(ACCESS * 2, Event::Ask(number, Ask::Seated(seat)));
            }
            Ask::Seated(None) => scene.after(AGAIN, again),
            Ask::Seated(Some(host)) => {
                if client.at != At::Outside {
                    return;
                }
                let run = scene.net.run_of(host);
                let edge = Running { host, run };
                let renamed = scene.chance(50);
                client.begin(edge, renamed);
                scene.after(ACCESS, Event::Ask(number, Ask::Hello(client.stay, edge)));
            }
            Ask::Hello(stay, edge) => {
                if client.stay != stay || client.at != At::Entering(edge) {
                    return;
                }
                client.at = At::Outside;
                let alive =
                    scene.net.is_alive(edge.host) && scene.net.run_of(edge.host) == edge.run;
                let hello = client.hello();
                if alive && self.edges[edge.host].join(scene, stay, hello) {
                    self.clients[number].at = At::Inside(edge);
                    self.scene.after(SENDS, Event::Ask(number, Ask::Send(stay)));
                } else {
                    self.scene.after(AGAIN, again);
                }
            }
            Ask::Send(stay) => self.send(stay),
            Ask::Act => self.act(number),
            Ask::EdgeGone(stay) | Ask::Expired(stay) => {
                if client.stay == stay && client.at != At::Gone {
                    client.at = At::Outside;
                    scene.after(AGAIN, again);
                }
            }
            Ask::Back(stay) => {
                if client.stay == stay && client.inside().is_some() {
                    client.has_socket = true;
                    let last_seq = client.last_seq;
                    self.say(number, Said::Resume { last_seq });
                }
            }
            Ask::KeyFrame { stay, ssrc } => {
                if client.stay == stay {
                    client.key_frame(ssrc);
                }
            }
            Ask::Layers {
                stay,
                track,
                layers,
            } => {
                if client.stay == stay {
                    client.set_layers(&track, layers);
                }
            }
        }
    }

    fn send(&mut self, stay: Stay) {
        let client = &mut self.clients[stay.client];
        let Some(edge) = client.inside().filter(|_| client.stay == stay) else {
            return;
        };
        let packets = client.packets(self.scene.now);
        let hello = client.hello();
        self.scene
            .after(SENDS, Event::Ask(stay.client, Ask::Send(stay)));
        if !self.is_running(edge) {
            return;
        }
        let host = &mut self.edges[edge.host];
        let Some(peer) = host.peer_of(stay, &hello) else {
            return;
        };
        for packet in packets {
            host.packet(&mut self.scene, peer, &packet);
        }
    }

    /// Somebody does something that people do.
    fn act(&mut self, number: usize) {
        let scene = &mut self.scene;
        let client = &mut self.clients[number];
        // Afterwards everybody rests.
        if scene.now.since(sluice_types::units::Time::ZERO) > RESTLESS || client.at == At::Gone {
            return;
        }
        let wait = ACTS / 4 + scene.part_of(ACTS);
        scene.after(wait, Event::Ask(number, Ask::Act));
        if client.inside().is_none() || !client.has_socket {
            return;
        }
        match scene.dice.below(14) {
            0..3 => {
                let presence = client.presence;
                let change = PresenceChange {
                    audio_muted: scene.chance(50).then_some(!presence.audio_muted),
                    video_muted: scene.chance(50).then_some(!presence.video_muted),
                    hand_raised: Some(!presence.hand_raised),
                    screen_sharing: None,
                };
                client.presence = presence.changed(change);
                self.say(number, Said::Presence(change));
            }
            3..5 => {
                let camera = |source: TrackSource| source == TrackSource::Camera;
                let before = client.tracks.len();
                client.tracks.retain(|track| !camera(track.info.source));
                if client.tracks.len() == before {
                    client.publish(TrackSource::Camera);
                }
                let hello = client.hello();
                self.say(number, Said::Publish(hello));
            }
            5..8 => {
                let seen: Vec<_> = client.view.values().flat_map(|seen| &seen.tracks).collect();
                if seen.is_empty() {
                    return;
                }
                let track = seen[scene.dice.below(seen.len() as u64) as usize].clone();
                let wish = Wish {
                    subscribed: scene.chance(60),
                    visible: scene.chance(70),
                    height: scene.chance(30).then_some(180),
                    frame_rate: None,
                    priority: Priority::Normal,
                };
                let wish = scene.chance(70).then_some(wish);
                match wish {
                    Some(wish) => client.wishes.insert(track.clone(), wish),
                    None => client.wishes.remove(&track),
                };
                let changes = vec![Subscription {
                    track_id: track,
                    wish,
                }];
                self.say(number, Said::Wishes(changes));
            }
            8..10 => {
                client.messages += 1;
                let message = Said::Data(client.messages);
                self.say(number, message);
            }
            10..12 => {
                client.has_socket = false;
                let stay = client.stay;
                let wait = Duration::from_millis(500) + scene.part_of(Duration::from_secs(3));
                scene.after(wait, Event::Ask(number, Ask::Back(stay)));
                self.say(number, Said::SocketGone);
            }
            12 => {
                self.say(number, Said::Leave);
                let scene = &mut self.scene;
                let returns = scene.chance(70);
                let client = &mut self.clients[number];
                client.at = if returns { At::Outside } else { At::Gone };
                let wait = Duration::from_millis(100) + scene.part_of(Duration::from_secs(3));
                scene.after(wait, Event::Ask(number, Ask::Join));
            }
            _ => {
                if scene.chance(10) && scene.net.is_alive(scene.coordinator()) {
                    let room = client.room.clone();
                    let store = &mut self.store;
                    self.coordinator.end_meeting(scene, store, &room);
                }
            }
        }
    }
}
