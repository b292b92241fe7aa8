//! The three ways to send a frame.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use sluice_relay::connection::Connection;
use sluice_relay::datagram::Datagram;
use sluice_relay::hop::HopSettings;
use sluice_relay::joiner::Joiner;
use sluice_relay::share::RoomKey;
use sluice_types::ids::RelayId;
use sluice_types::room::MediaKind;
use sluice_types::units::Time;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::media::{Frame, Record};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Plain,
    Streams,
    Repaired,
}

type Shared = Arc<Mutex<Record>>;

/// Runs both ends until aborted or the connection is lost.
pub(crate) async fn run(
    way: Way,
    [near, far]: [quinn::Connection; 2],
    packets: mpsc::Receiver<Frame>,
    started: Instant,
    record: Shared,
    note: Arc<Mutex<String>>,
) {
    match way {
        Way::Plain => {
            tokio::join!(
                send_plain(near, packets),
                receive_plain(far, started, record)
            );
        }
        Way::Streams => {
            tokio::join!(
                send_streams(near, packets),
                receive_streams(far, started, record)
            );
        }
        Way::Repaired => {
            let (_silent, nothing) = mpsc::channel(1);
            tokio::join!(
                repaired(near, packets, started, None, Arc::default()),
                repaired(far, nothing, started, Some(record), note),
            );
        }
    }
}

fn arrived(record: &Shared, started: Instant, packet: &[u8]) {
    let now = started.elapsed().as_micros() as u64;
    record
        .lock()
        .expect("no task panicked")
        .arrived(now, packet);
}

async fn send_plain(quic: quinn::Connection, mut frames: mpsc::Receiver<Frame>) {
    while let Some(frame) = frames.recv().await {
        for packet in frame.packets {
            if quic.send_datagram(packet.into()).is_err() {
                return;
            }
        }
    }
}

async fn receive_plain(quic: quinn::Connection, started: Instant, record: Shared) {
    while let Ok(packet) = quic.read_datagram().await {
        arrived(&record, started, &packet);
    }
}

async fn send_streams(quic: quinn::Connection, mut frames: mpsc::Receiver<Frame>) {
    while let Some(frame) = frames.recv().await {
        let quic = quic.clone();
        tokio::spawn(async move {
            let Ok(mut stream) = quic.open_uni().await else {
                return;
            };
            for packet in frame.packets {
                let length = (packet.len() as u16).to_be_bytes();
                let whole = [&length[..], &packet].concat();
                if stream.write_all(&whole).await.is_err() {
                    return;
                }
            }
            // Fails only when the connection is lost.
            let _ = stream.finish();
        });
    }
}

async fn receive_streams(quic: quinn::Connection, started: Instant, record: Shared) {
    while let Ok(mut stream) = quic.accept_uni().await {
        let record = Arc::clone(&record);
        tokio::spawn(async move {
            let mut buffer = BytesMut::new();
            while let Ok(Some(chunk)) = stream.read_chunk(64 * 1024, true).await {
                buffer.extend_from_slice(&chunk.bytes);
                while let Some(length) = buffer.first_chunk::<2>() {
                    let length = usize::from(u16::from_be_bytes(*length));
                    if buffer.len() < 2 + length {
                        break;
                    }
                    buffer.advance(2);
                    arrived(&record, started, &buffer.split_to(length));
                }
            }
        });
    }
}

/// One end, as `sluice-edge` drives it.
async fn repaired(
    quic: quinn::Connection,
    mut frames: mpsc::Receiver<Frame>,
    started: Instant,
    record: Option<Shared>,
    note: Arc<Mutex<String>>,
) {
    const AHEAD: usize = 64 * 1024;
    let now = || Time::ZERO + started.elapsed();
    let mut core = Connection::new(HopSettings::default(), now());
    let mut joiners: Vec<Joiner> = Vec::new();
    let buffer = quic.datagram_send_buffer_space();
    loop {
        let due = started + core.timeout(now()).since(Time::ZERO);
        tokio::select! {
            frame = frames.recv(), if !frames.is_closed() => if let Some(frame) = frame {
                let kind = if frame.sound { MediaKind::Audio } else { MediaKind::Video };
                for packet in frame.packets {
                    core.push(now(), RoomKey(1), RelayId(frame.relay), kind, packet);
                }
            },
            datagram = quic.read_datagram() => match datagram {
                Ok(datagram) => core.receive(now(), datagram),
                Err(_) => return,
            },
            () = tokio::time::sleep_until(due) => {}
        }
        if core.timeout(now()) <= now() {
            core.on_timeout(now());
        }
        while let Some(inner) = core.poll_delivery() {
            let (Some(record), Ok(datagram)) = (&record, Datagram::parse(inner)) else {
                continue;
            };
            let relay = datagram.relay.0 as usize;
            joiners.resize_with(joiners.len().max(relay + 1), Joiner::default);
            if let Some(packet) = joiners[relay].join(datagram) {
                arrived(record, started, &packet);
            }
        }
        let Some(longest) = quic.max_datagram_size() else {
            return;
        };
        loop {
            let used = buffer.saturating_sub(quic.datagram_send_buffer_space());
            let Some(datagram) = core.poll_transmit(now(), longest, used < AHEAD) else {
                break;
            };
            if quic.send_datagram(datagram).is_err() {
                return;
            }
        }
        while core.take_spare().is_some() {}
        if record.is_some() && started.elapsed() > Duration::from_secs(3) {
            let (_, hop, _) = core.counters();
            let text = format!("{}, {}", hop.repaired, hop.restored);
            *note.lock().expect("no task panicked") = text;
        }
    }
}
