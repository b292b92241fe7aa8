//! Media at one edge: real clients of the `webrtc` crate, one room.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use sluice_edge::media::{Media, MediaConfig, MediaEvent, Session, WantedTrack};
use sluice_guard::{AddressRules, ConnectionBounds};
use sluice_tests::client::{Client, PATIENCE, Published};
use sluice_types::access::Role;
use sluice_types::ids::{MeetingId, ParticipantId};
use sluice_types::signal::PublishedTrack;
use tokio::sync::mpsc;
use tokio::time::timeout;

pub(crate) struct Joined {
    pub(crate) client: Client,
    session: Session,
    participant: ParticipantId,
    published: Vec<PublishedTrack>,
    pub(crate) audio: Published,
    pub(crate) video: Published,
    /// The edge's first answer.
    pub(crate) answer: String,
}

pub(crate) fn config() -> MediaConfig {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    MediaConfig {
        listen: loopback,
        udp_port: 0,
        workers: 1,
        capacity: 100,
        pin: false,
        segmentation: true,
        replay: true,
        tcp_port: Some(0),
        advertised: vec![loopback],
        addresses: AddressRules::default(),
        tcp_connections: ConnectionBounds {
            all: 100,
            per_network: 20,
        },
    }
}

pub(crate) async fn join(media: &mut Media, room: &MeetingId, number: u8) -> Joined {
    let participant = ParticipantId::from_random([number; 10]);
    let mut session = media.open(room, &participant, Role::Speaker.grants());
    let (mut client, audio, video) = Client::new().await.expect("a client");
    let offer = client.offer().await.expect("an offer");
    let answered = session.handle_offer(&offer, &[]).expect("a good offer");
    client
        .take_answer(answered.sdp.clone())
        .await
        .expect("a good answer");
    client.connected().await.expect("ICE and DTLS");
    Joined {
        client,
        session,
        participant,
        published: answered.published,
        audio,
        video,
        answer: answered.sdp,
    }
}

impl Joined {
    pub(crate) fn wanted(&self) -> impl Iterator<Item = WantedTrack> {
        self.published.iter().map(|published| WantedTrack {
            participant_id: self.participant.clone(),
            track: published.track.clone(),
        })
    }

    pub(crate) async fn receive(&mut self, wanted: Vec<WantedTrack>) {
        self.session.set_wanted(wanted);
        let offer = self.session.next_offer().expect("something changed");
        let answer = self.client.answer(offer.sdp).await.expect("a good offer");
        self.session
            .handle_answer(&answer, offer.revision)
            .expect("a good answer");
    }
}

async fn event(events: &mut mpsc::Receiver<MediaEvent>, wanted: impl Fn(&MediaEvent) -> bool) {
    let search = async {
        while let Some(event) = events.recv().await {
            if wanted(&event) {
                return;
            }
        }
    };
    timeout(PATIENCE, search).await.expect("the event comes");
}

/// Sends numbered video until `done`.
pub(crate) async fn keep_sending(video: &mut Published, audio: &mut Published) {
    for number in 0u32.. {
        // A VP8 payload descriptor of a key frame's start, then the number.
        let mut payload = vec![0x10, 0x00];
        payload.extend(number.to_be_bytes());
        payload.resize(900, 7);
        video.send(Bytes::from(payload)).await.expect("sent");
        audio.send(Bytes::from(vec![9; 80])).await.expect("sent");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clients_of_a_room_receive_each_other() {
    receive_each_other(config()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_they_do_at_two_workers_when_one_is_full() {
    let config = MediaConfig {
        workers: 2,
        capacity: 2,
        ..config()
    };
    receive_each_other(config).await;
}

async fn receive_each_other(config: MediaConfig) {
    let full = usize::try_from(config.capacity).expect("small") / usize::from(config.workers);
    let (mut media, mut events) = Media::start(config).await.expect("media");
    let room = MeetingId::from_random([1; 10]);
    let mut one = join(&mut media, &room, 1).await;
    let mut two = join(&mut media, &room, 2).await;
    assert_eq!((one.published.len(), two.published.len()), (2, 2));
    two.receive(one.wanted().collect()).await;
    one.receive(two.wanted().collect()).await;

    let publisher = one.participant.to_string();
    let Joined {
        client,
        video,
        audio,
        ..
    } = &mut one;
    let receiving = async {
        let mut numbers = Vec::new();
        let mut sequence = None;
        while numbers.len() < 50 {
            let packet = two
                .client
                .packet(|packet| packet.payload.len() == 900)
                .await
                .expect("video arrives");
            assert_eq!(packet.stream, publisher);
            if let Some(before) = sequence {
                assert_eq!(packet.sequence, u16::wrapping_add(before, 1));
            }
            sequence = Some(packet.sequence);
            numbers.push(u32::from_be_bytes(
                packet.payload[2..6].try_into().expect("four"),
            ));
        }
        assert!(
            numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{numbers:?}"
        );
        two.client
            .packet(|packet| packet.payload.len() == 80)
            .await
            .expect("audio arrives");
    };
    tokio::select! {
        () = keep_sending(video, audio) => {}
        () = receiving => {}
    }
    event(&mut events, |event| {
        matches!(event, MediaEvent::FirstPacket { .. })
    })
    .await;
    client.close().await.expect("closed");
    let gone = one.participant.clone();
    event(
        &mut events,
        |event| matches!(event, MediaEvent::Lost { participant, .. } if *participant == gone),
    )
    .await;
    assert_eq!(media.workers_of(&room), 2usize.div_ceil(full));
    drop(one.session);
    two.client.close().await.expect("closed");
}
