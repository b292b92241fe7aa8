//! What strangers throw at the ports of media, while a call goes on.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sluice_edge::media::Media;
use sluice_tests::client::PATIENCE;
use sluice_types::ids::MeetingId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::media::{Joined, config, join, keep_sending};

/// Datagrams at once, and the pause after them: some ten thousand a second, so that what is tried is
/// the edge and not the machine.
const VOLLEY: usize = 20;
const PAUSE: Duration = Duration::from_millis(2);

/// A binding request (RFC 8489) for this user whose integrity is made up.
fn forged_check(username: &str) -> Vec<u8> {
    let attribute = |kind: u16, value: &[u8]| {
        let length = u16::try_from(value.len()).expect("short");
        let mut bytes = [kind.to_be_bytes(), length.to_be_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let body = [
        attribute(0x0006, username.as_bytes()),
        attribute(0x0008, &[7; 20]),
    ]
    .concat();
    let length = u16::try_from(body.len()).expect("short");
    let mut packet = [1u16.to_be_bytes(), length.to_be_bytes()].concat();
    packet.extend(0x2112_a442_u32.to_be_bytes());
    packet.extend([5; 12]);
    packet.extend(body);
    packet
}

fn after<'a>(sdp: &'a str, name: &str) -> &'a str {
    let line = sdp.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} in {sdp}"))
}

/// The UDP and the TCP candidate.
fn candidates(sdp: &str) -> (SocketAddr, SocketAddr) {
    let of = |transport: &str| {
        let lines = sdp
            .lines()
            .filter_map(|line| line.strip_prefix("a=candidate:"));
        let mut fields = lines.map(|line| line.split(' ').collect::<Vec<_>>());
        let candidate = fields.find(|fields| fields[2].eq_ignore_ascii_case(transport));
        let candidate = candidate.expect("a candidate");
        format!("{}:{}", candidate[4], candidate[5])
            .parse()
            .expect("an address")
    };
    (of("udp"), of("tcp"))
}

/// Sends all of these again and again, each time from another address, until told to end.
fn flood(to: SocketAddr, packets: Vec<Vec<u8>>, end: Arc<AtomicBool>, sent: Arc<AtomicU64>) {
    let sockets: Vec<_> = (1..=60)
        .map(|n| UdpSocket::bind((Ipv4Addr::new(127, 8, 0, n), 0)).expect("loopback is a /8"))
        .collect();
    let mut turns = sockets.iter().cycle().zip(packets.iter().cycle());
    while !end.load(Ordering::Relaxed) {
        for (socket, packet) in turns.by_ref().take(VOLLEY) {
            // The kernel may have no room; the flood goes on.
            if socket.send_to(packet, to).is_ok() {
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// So many packets of video, each later than the one before, and one of sound.
async fn receives(viewer: &mut Joined, packets: usize) {
    let mut last = None;
    for _ in 0..packets {
        let packet = viewer
            .client
            .packet(|packet| packet.payload.len() == 900)
            .await;
        let packet = packet.expect("video arrives");
        let number = u32::from_be_bytes(packet.payload[2..6].try_into().expect("four"));
        assert_ne!(Some(number), last, "twice");
        last = Some(number);
    }
    let sound = viewer
        .client
        .packet(|packet| packet.payload.len() == 80)
        .await;
    sound.expect("audio arrives");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_on_and_others_join_while_strangers_flood_the_ports_of_media() {
    let (mut media, mut events) = Media::start(config()).await.expect("media");
    // Nobody looks at them here; their queue must not fill up.
    let events = tokio::spawn(async move { while events.recv().await.is_some() {} });
    let room = MeetingId::from_random([1; 10]);
    let mut one = join(&mut media, &room, 1).await;
    let mut two = join(&mut media, &room, 2).await;
    two.receive(one.wanted().collect()).await;
    let (udp, tcp) = candidates(&one.answer);
    let ufrag = after(&one.answer, "a=ice-ufrag:");

    // Checks for nobody and for somebody, a DTLS record, RTP, RTCP, and nonsense.
    let mut hello = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 1];
    hello.resize(113, 3);
    let mut rtp = vec![0x80, 96, 0, 1];
    rtp.resize(1_100, 4);
    let mut rtcp = vec![0x80, 200, 0, 6];
    rtcp.resize(28, 5);
    let packets = vec![
        forged_check("nobody:far"),
        forged_check(&format!("{ufrag}:far")),
        hello,
        rtp,
        rtcp,
        vec![255; 64],
    ];
    let (end, sent) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let flooding = {
        let (end, sent) = (end.clone(), sent.clone());
        tokio::task::spawn_blocking(move || flood(udp, packets, end, sent))
    };
    // More ICE-TCP connections than one address may have, which say nothing.
    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(
            TcpStream::connect(tcp)
                .await
                .expect("accepted, or closed later"),
        );
    }

    let Joined { video, audio, .. } = &mut one;
    let call = async {
        receives(&mut two, 100).await;
        let newcomer = timeout(PATIENCE, join(&mut media, &room, 3)).await;
        newcomer
            .expect("joins")
            .client
            .close()
            .await
            .expect("closed");
        receives(&mut two, 100).await;
    };
    tokio::select! {
        () = keep_sending(video, audio) => {}
        () = call => {}
    }
    assert!(sent.load(Ordering::Relaxed) > 1_000, "it was a flood");
    end.store(true, Ordering::Relaxed);
    flooding.await.expect("ended");

    let mut open = 0;
    for stream in &mut silent {
        let read = timeout(Duration::from_millis(20), stream.read(&mut [0; 8])).await;
        open += usize::from(read.is_err());
    }
    assert!(
        open <= config().tcp_connections.per_network,
        "{open} are open"
    );
    // Another address finds a place.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind(SocketAddr::from(([127, 8, 0, 99], 0)))
        .expect("bound");
    let mut other = socket.connect(tcp).await.expect("connected");
    other.write_all(&[0]).await.expect("sent");
    let read = timeout(Duration::from_millis(200), other.read(&mut [0; 8])).await;
    assert!(read.is_err(), "it is waited for what it says");
    drop(media);
    events.abort();
}
