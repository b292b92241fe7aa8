//! One edge: its cores, joined as the hub joins them.
//!
//! It decides nothing that an edge's shell does not decide.

mod backbone;
mod control;
mod link;
mod media;
mod outlet;
mod rooms;
mod session;
mod traffic;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use sluice_relay::mesh::{Mesh, Output};
use sluice_types::ids::{EdgeId, MeetingId, RegionName};
use sluice_types::mesh::control::RoomPlan;

use self::backbone::Backbone;
use self::control::Control;
use self::media::Media;
use self::rooms::RoomState;
use super::event::{Carried, EdgeEvent, HubEvent, Running};
use super::network::End;
use super::scene::Scene;
use crate::Invariant;

/// How often the hub looks at timers.
const TICK: Duration = Duration::from_millis(250);

/// How long an event waits for the hub at most.
const HUB_WAIT: Duration = Duration::from_micros(400);

/// See the module.
pub(super) struct EdgeHost {
    pub(super) me: Running,
    pub(super) id: EdgeId,
    region: RegionName,
    pub(super) mesh: Mesh,
    pub(super) rooms: BTreeMap<MeetingId, RoomState>,
    touched: BTreeSet<MeetingId>,
    inbox: VecDeque<HubEvent>,
    /// The hub will look at its inbox.
    awake: bool,
    media: Media,
    backbone: Backbone,
    /// The connections that the hub knows to be up.
    up: BTreeMap<EdgeId, End>,
    control: Control,
    pub(super) capacity: u32,
    /// The first plan of each room that came, for [`Sabotage::FollowOldPlans`].
    first: BTreeMap<MeetingId, RoomPlan>,
}

impl EdgeHost {
    /// An edge that was just started, with nothing but its configuration.
    pub(super) fn start(
        scene: &mut Scene,
        me: Running,
        id: EdgeId,
        region: RegionName,
        capacity: u32,
    ) -> Self {
        let wait = scene.part_of(TICK);
        scene.edge_after(wait, me, EdgeEvent::Tick);
        let wait = scene.part_of(Duration::from_millis(300));
        scene.edge_after(wait, me, EdgeEvent::DialCoordinator { attempt: 0 });
        scene.edge_after(Duration::from_millis(20), me, EdgeEvent::Forward);
        Self {
            me,
            mesh: Mesh::new(id.clone(), region.clone()),
            id,
            region,
            rooms: BTreeMap::new(),
            touched: BTreeSet::new(),
            inbox: VecDeque::new(),
            awake: false,
            media: Media::default(),
            backbone: Backbone::default(),
            up: BTreeMap::new(),
            control: Control::default(),
            capacity,
            first: BTreeMap::new(),
        }
    }

    pub(super) fn handle(&mut self, scene: &mut Scene, event: EdgeEvent) {
        match event {
            EdgeEvent::Dial { peer, attempt } => self.dial(scene, &peer, attempt),
            EdgeEvent::Ready { conn, dialled } => self.take_in(scene, conn, dialled),
            EdgeEvent::Hub => self.run_hub(scene),
            EdgeEvent::Tick => self.tick(scene),
            EdgeEvent::Forward => self.forward_timeout(scene),
            EdgeEvent::Traffic { peer, end } => self.traffic_timeout(scene, &peer, end),
            EdgeEvent::DialCoordinator { attempt } => self.dial_coordinator(scene, attempt),
            EdgeEvent::Beat { line } => self.beat(scene, line),
            EdgeEvent::Says(stay, said) => self.says(scene, stay, said),
        }
        self.settle(scene);
    }

    /// Something arrives on a stream of this edge's.
    pub(super) fn arrive(&mut self, scene: &mut Scene, to: End, carried: Carried) {
        match carried {
            Carried::Backbone(message) => {
                if let Some(peer) = self.backbone.peer_at(to) {
                    self.note_message(&peer, &message);
                    self.wake_hub(scene, HubEvent::Message(peer, message));
                }
            }
            Carried::ToEdge(message) => self.hear_coordinator(scene, to, message),
            Carried::FromEdge(_) => {}
        }
    }

    /// A connection of this edge's is over.
    pub(super) fn lost(&mut self, scene: &mut Scene, end: End) {
        if self.control.is_line(end) {
            self.lose_line(scene);
        } else {
            self.bury(scene, end);
        }
    }

    /// Something waits for the hub.
    fn wake_hub(&mut self, scene: &mut Scene, event: HubEvent) {
        self.inbox.push_back(event);
        if !self.awake {
            self.awake = true;
            let wait = scene.part_of(HUB_WAIT);
            scene.edge_after(wait, self.me, EdgeEvent::Hub);
        }
    }

    fn run_hub(&mut self, scene: &mut Scene) {
        self.awake = false;
        while let Some(event) = self.inbox.pop_front() {
            let now = scene.now;
            scene.note(|| format!("{} hears {event:?}", self.id));
            match event {
                HubEvent::PeerUp(peer, end) => {
                    self.up.insert(peer.clone(), end);
                    self.mesh.peer_up(&peer);
                }
                HubEvent::PeerReplaced(peer, end) => {
                    self.up.insert(peer.clone(), end);
                    self.mesh.peer_replaced(now, &peer);
                }
                HubEvent::PeerSilent(peer) => self.mesh.peer_silent(now, &peer),
                HubEvent::PeerHeard(peer) => self.mesh.peer_heard(now, &peer),
                HubEvent::PeerDown(peer) => {
                    self.up.remove(&peer);
                    self.mesh.peer_down(now, &peer);
                }
                HubEvent::Message(peer, message) => {
                    self.mesh.handle_message(now, &peer, message);
                }
                HubEvent::FirstPacket(peer, relay) => {
                    self.mesh.first_packet(now, &peer, relay);
                }
                HubEvent::KeyFrameWanted(track, encoding) => {
                    if let Some(room) = self.media.room_of(&track) {
                        self.mesh.request_key_frame(&room, &track, encoding);
                    }
                }
                HubEvent::LayersWanted(track, layers) => {
                    if let Some(room) = self.media.room_of(&track) {
                        self.mesh.set_layers(&room, &track, layers);
                    }
                }
                HubEvent::CoordinatorUp => self.tell_all_demand(),
                HubEvent::Coordinator(message) => self.obey(scene, message),
            }
            self.settle(scene);
        }
    }

    /// Carries what rooms and the mesh say to where it belongs, until neither says anything.
    fn settle(&mut self, scene: &mut Scene) {
        let mut changed = false;
        loop {
            if let Some(output) = self.mesh.poll_output() {
                changed = true;
                self.carry_mesh(scene, output);
            } else if let Some(room) = self.touched.pop_first() {
                self.carry_room(scene, &room);
            } else {
                break;
            }
        }
        if changed {
            self.report(scene);
        }
    }

    /// Shows whom this edge follows to who watches.
    fn report(&self, scene: &mut Scene) {
        for room in self.rooms.keys() {
            if let Some(epoch) = self.mesh.epoch(room) {
                scene.watch.followed(scene.now, self.me, room, epoch);
            }
        }
        scene.watch.changed = true;
    }

    fn tick(&mut self, scene: &mut Scene) {
        let now = scene.now;
        scene.edge_after(TICK, self.me, EdgeEvent::Tick);
        self.mesh.handle_timeout(now);
        scene.watch.changed = true;
        let due = |state: &RoomState| state.room.poll_timeout().is_some_and(|at| at <= now);
        let due: Vec<_> = self.rooms.iter().filter(|(_, state)| due(state)).collect();
        let due: Vec<_> = due.into_iter().map(|(id, _)| id.clone()).collect();
        for id in due {
            if let Some(state) = self.rooms.get_mut(&id) {
                state.room.handle_timeout(now);
            }
            self.touched.insert(id);
        }
        let here: usize = self.rooms.values().map(|state| state.members.len()).sum();
        if here > self.capacity as usize {
            let what = format!(
                "{} has {here} participants and takes {}",
                self.id, self.capacity
            );
            scene.watch.breaks(Invariant::CapacityKept, now, what);
        }
    }

    fn carry_mesh(&mut self, scene: &mut Scene, output: Output) {
        scene.note(|| format!("{} says {output:?}", self.id));
        match output {
            Output::Connect { peer } => self.connect(scene, peer),
            Output::Disconnect { peer } => self.backbone.disconnect(scene, &peer),
            Output::Send { peer, message } => self.send_to(scene, &peer, message),
            Output::RosterChanged {
                room,
                root,
                path,
                upserts,
                left,
            } => {
                let state = self.room(&room);
                state
                    .room
                    .roster_changed(scene.now, &root, path, upserts, left);
                self.touched.insert(room);
            }
            Output::Data { room, message } => self.deliver_data(scene, &room, &message),
            Output::RemoveLocal { room, participant } => {
                if let Some(state) = self.rooms.get_mut(&room) {
                    state.room.remove_local(&participant);
                    self.touched.insert(room);
                }
            }
            media => self.carry_media(scene, media),
        }
    }
}
