//! The thread that is all the clients: it sends what publishers send and counts what viewers get.

use std::collections::HashMap;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver as Inbox, Sender as Outbox, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use sluice_sfu::rtcp::{Control, controls};
use sluice_types::units::Time;
use sluice_wire::srtp::Srtp;
use sluice_wire::udp::{Receiver, Sender};
use tokio::sync::oneshot;

use crate::client::StreamReport;
use crate::client::publisher::{AUDIO_INTERVAL, FRAME_INTERVAL, Publisher};
use crate::client::sdp::extension_ids;
use crate::client::transport::Transport;
use crate::client::viewer::Viewer;

const WAKE: Token = Token(usize::MAX);

/// How often viewers report arrivals; Chromium's own interval.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(100);

/// How often handshakes and consent are looked at.
const CHORES_INTERVAL: Duration = Duration::from_millis(50);

/// How long the whole set of events may be.
const EVENTS: usize = 1_024;

/// A client to be added.
pub(crate) struct NewClient {
    pub(crate) socket: UdpSocket,
    pub(crate) remote: std::net::SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) publisher: Option<Publisher>,
    /// Told when ICE and DTLS are up.
    pub(crate) connected: oneshot::Sender<()>,
    /// Told when the first picture is whole.
    pub(crate) first_media: oneshot::Sender<()>,
}

enum Command {
    Add(Box<NewClient>),
    Begin,
    Report(oneshot::Sender<Counted>),
    Stop,
}

/// What was counted between [`Engine::begin`] and [`Engine::report`].
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Packets that publishers sent.
    pub(crate) published: u64,
    /// For each viewer what it received.
    pub(crate) viewers: Vec<Vec<StreamReport>>,
}

/// A handle of the thread.
pub(crate) struct Engine {
    commands: Outbox<Command>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

struct Client {
    socket: UdpSocket,
    remote: std::net::SocketAddr,
    transport: Transport,
    viewer: Viewer,
    publisher: Option<Publisher>,
    connected: Option<oneshot::Sender<()>>,
    first_media: Option<oneshot::Sender<()>>,
    next_sound: Instant,
    next_frame: Instant,
    next_feedback: Instant,
}

impl Engine {
    pub(crate) fn start() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let (commands, inbox) = channel();
        let thread = std::thread::Builder::new()
            .name("clients".to_owned())
            .spawn(move || Runner::new(poll, inbox).run())?;
        Ok(Self {
            commands,
            waker,
            thread: Some(thread),
        })
    }

    fn tell(&self, command: Command) {
        // Fails when the thread ended, which whoever waits for its answer notices.
        let _ = self.commands.send(command);
        let _ = self.waker.wake();
    }

    pub(crate) fn add(&self, client: NewClient) {
        self.tell(Command::Add(Box::new(client)));
    }

    /// Counts from now on.
    pub(crate) fn begin(&self) {
        self.tell(Command::Begin);
    }

    /// What was counted; `None` when the thread has ended.
    pub(crate) async fn report(&self) -> Option<Counted> {
        let (tell, told) = oneshot::channel();
        self.tell(Command::Report(tell));
        told.await.ok()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.tell(Command::Stop);
        if let Some(thread) = self.thread.take() {
            // It panicked if this fails, and has said so.
            let _ = thread.join();
        }
    }
}

struct Runner {
    poll: Poll,
    inbox: Inbox<Command>,
    started: Instant,
    clients: Vec<Client>,
    by_token: HashMap<Token, usize>,
    receiver: Receiver,
    sender: Sender,
    next_chores: Instant,
    published: u64,
    buffer: Vec<u8>,
}

impl Runner {
    fn new(poll: Poll, inbox: Inbox<Command>) -> Self {
        let now = Instant::now();
        Self {
            poll,
            inbox,
            started: now,
            clients: Vec::new(),
            by_token: HashMap::new(),
            receiver: Receiver::new(),
            sender: Sender::new(true),
            next_chores: now,
            published: 0,
            buffer: Vec::new(),
        }
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let wait = self.next().saturating_duration_since(Instant::now());
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            while let Ok(command) = self.inbox.try_recv() {
                match command {
                    Command::Add(client) => self.add(*client)?,
                    Command::Begin => {
                        self.published = 0;
                        self.clients.iter_mut().for_each(|c| c.viewer.begin());
                    }
                    Command::Report(tell) => {
                        // Nobody waits any more when this fails.
                        let _ = tell.send(self.counted());
                    }
                    Command::Stop => return Ok(()),
                }
            }
            for event in &events {
                if let Some(&place) = self.by_token.get(&event.token()) {
                    self.receive(place);
                }
            }
            self.handle_timeouts();
        }
    }

    fn counted(&self) -> Counted {
        Counted {
            published: self.published,
            viewers: self.clients.iter().map(|c| c.viewer.reports()).collect(),
        }
    }

    fn add(&mut self, new: NewClient) -> io::Result<()> {
        let token = Token(self.clients.len());
        self.poll.registry().register(
            &mut SourceFd(&new.socket.as_raw_fd()),
            token,
            Interest::READABLE,
        )?;
        self.by_token.insert(token, self.clients.len());
        let now = Instant::now();
        // Publishers do not capture in step.
        let phase = FRAME_INTERVAL * (self.clients.len() as u32 * 7 % 30) / 30;
        self.clients.push(Client {
            socket: new.socket,
            remote: new.remote,
            transport: new.transport,
            viewer: Viewer::new(extension_ids()),
            publisher: new.publisher,
            connected: Some(new.connected),
            first_media: Some(new.first_media),
            next_sound: now + phase,
            next_frame: now + phase,
            next_feedback: now + phase,
        });
        self.next_chores = now;
        Ok(())
    }

    fn next(&self) -> Instant {
        let media = self
            .clients
            .iter()
            .filter(|client| client.transport.srtp.is_some())
            .map(|client| match client.publisher {
                Some(_) => client
                    .next_sound
                    .min(client.next_frame)
                    .min(client.next_feedback),
                None => client.next_feedback,
            })
            .min();
        media.map_or(self.next_chores, |at| at.min(self.next_chores))
    }

    fn receive(&mut self, place: usize) {
        let Some(client) = self.clients.get_mut(place) else {
            return;
        };
        let Client {
            socket,
            transport,
            viewer,
            publisher,
            ..
        } = client;
        let now = Instant::now();
        let time = Time::ZERO + now.duration_since(self.started);
        let mut up = false;
        loop {
            let read = self.receiver.receive(socket, |_, datagram| {
                // RFC 7983, section 7; RFC 5761, section 4.
                match (datagram.first(), datagram.get(1)) {
                    (Some(128..=191), Some(192..=223)) => {
                        if let (Some(srtp), Some(publisher)) =
                            (&mut transport.srtp, &mut *publisher)
                        {
                            obey(srtp, datagram, publisher);
                        }
                    }
                    (Some(128..=191), _) => {
                        if let Some(srtp) = &mut transport.srtp {
                            viewer.receive(time, datagram, srtp);
                        }
                    }
                    _ => up |= transport.receive(now, datagram).unwrap_or(false),
                }
            });
            if !read.is_ok_and(|read| read.more) {
                break;
            }
        }
        if up {
            self.next_chores = now;
            if let Some(connected) = client.connected.take() {
                // Nobody waits any more when this fails.
                let _ = connected.send(());
            }
        }
        if client.viewer.first_media().is_some()
            && let Some(first) = client.first_media.take()
        {
            let _ = first.send(());
        }
        flush(client);
    }

    fn handle_timeouts(&mut self) {
        let now = Instant::now();
        let chores = now >= self.next_chores;
        if chores {
            self.next_chores = now + CHORES_INTERVAL;
        }
        for client in &mut self.clients {
            if chores {
                // A handshake that fails shows as a client that never connects.
                let _ = client.transport.handle_timeout(now);
                flush(client);
            }
            let Some(srtp) = client.transport.srtp.as_deref_mut() else {
                continue;
            };
            if now >= client.next_feedback {
                client.next_feedback = now + FEEDBACK_INTERVAL;
                let (socket, remote) = (&client.socket, client.remote);
                client.viewer.feedback(&mut self.buffer, |report| {
                    if let Ok(sealed) = srtp.seal_control(report) {
                        // As if the network had lost it.
                        let _ = socket.send_to(&sealed, remote);
                    }
                });
            }
            let Some(publisher) = &mut client.publisher else {
                continue;
            };
            let micros = || u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
            if now >= client.next_sound {
                client.next_sound = later(client.next_sound, AUDIO_INTERVAL, now);
                self.sender.push(client.remote, |buffer| {
                    publisher.sound(srtp, micros(), buffer)
                });
                self.published += 1;
            }
            if now >= client.next_frame {
                client.next_frame = later(client.next_frame, FRAME_INTERVAL, now);
                publisher.begin_frame();
                for nth in 0..publisher.packets_per_frame() {
                    self.sender.push(client.remote, |buffer| {
                        publisher.picture(srtp, nth, micros(), buffer)
                    });
                    self.published += 1;
                }
            }
            if !self.sender.is_empty() {
                self.sender.flush(&client.socket);
            }
        }
    }
}

/// The next time of something regular; what was missed by far is not made up for.
fn later(before: Instant, interval: Duration, now: Instant) -> Instant {
    let next = before + interval;
    if next + interval * 4 < now { now } else { next }
}

/// Sends what a client's transport has to say.
fn flush(client: &mut Client) {
    for datagram in client.transport.take_outgoing() {
        // As if the network had lost it.
        let _ = client.socket.send_to(&datagram, client.remote);
    }
}

/// Does what the edge asks of a publisher.
fn obey(srtp: &mut Srtp, datagram: &[u8], publisher: &mut Publisher) {
    if let Ok(plain) = srtp.open_control(datagram) {
        controls(&plain, |control| {
            if matches!(control, Control::KeyFrameRequest { .. }) {
                publisher.key_frame = true;
            }
        });
    }
}
